"""What scores new records: a champion that the records know, and no other."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from assets_tests.worlds.ward.state import DIGEST, WARD, State, state
from clinical_assets.defs.predictions.assets import serving_model
from clinical_assets.defs.resources import Platform
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion import champion_switch
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import ChampionError
from clinical_assets.records import schema
from clinical_assets.workspace import CohortHandle

__all__ = ["state"]


def cohort(state: State) -> CohortHandle:
    state.describe(WARD)
    return Platform().cohort(WARD)


def test_nothing_serves_before_the_first_promotion(state: State) -> None:
    assert serving_model(cohort(state)) is None


def test_a_pointer_that_no_promotion_wrote_serves_nothing(state: State) -> None:
    state.promote()
    with pytest.raises(ChampionError, match="records do not know"):
        serving_model(cohort(state))


def test_a_row_of_a_promotion_without_its_entry_in_the_ledger_is_none(state: State) -> None:
    champion = state.promote()
    entry = state.ledger.append("review", actor="ann", cohort=WARD, digest=DIGEST)
    row = {"cohort": WARD, "kind": "promotion", "bundle_digest": DIGEST, "at": champion.since, "actor": "ann"}
    with state.records.write() as connection:
        values = {**row, "id": champion.promotion, "ledger_seq": entry.seq}
        connection.execute(schema.promotions.insert().values(**values))
    assert not champion_switch.is_recorded(state.settings, champion)


@pytest.mark.parametrize("kind", ["promotion", "rollback"])
def test_a_pointer_and_a_journal_that_somebody_wrote_make_no_champion(
    state: State, kind: Literal["promotion", "rollback"]
) -> None:
    champion = state.promote()
    change = champion_switch.ChampionChange(
        kind=kind, champion=champion, before=None, dossier_digest=None, reason=None, signatures=()
    )
    journal = champion_pointer.serving_folder(state.settings, WARD) / champion_pointer.JOURNAL
    journal.write_text(json.dumps(change.to_json()))
    with pytest.raises((ChampionError, Refused), match=r"records do not know|never promoted"):
        serving_model(cohort(state))
    assert not champion_switch.is_recorded(state.settings, champion)
    assert state.ledger.entries(cohort=WARD) == ()
