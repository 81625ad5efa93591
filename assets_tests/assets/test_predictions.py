"""What scores new records: a champion that the records know, and no other."""

from __future__ import annotations

import dataclasses
import json

import pytest

from assets_tests.serving.state import DIGEST, WARD, State, state
from clinical_assets.assets.predictions import serving_model
from clinical_assets.assets.resources import Cohort, Platform
from clinical_assets.governance import champions, switching
from clinical_assets.governance.champions import ChampionError
from clinical_assets.records import schema

__all__ = ["state"]


def cohort(state: State) -> Cohort:
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
    assert not switching.is_recorded(state.settings, champion)


def test_a_switch_whose_process_was_killed_is_recorded_before_anything_is_scored(state: State) -> None:
    champion = state.promote()
    change = switching.Change("promotion", champion, None, None, None, ())
    journal = champions.serving_folder(state.settings, WARD) / champions.JOURNAL
    journal.write_text(json.dumps(change.to_json()))
    # It is recorded now, and goes on to the bundle, which is not there.
    with pytest.raises(ChampionError, match="does not lie in"):
        serving_model(cohort(state))
    assert switching.is_recorded(state.settings, champion)
    assert not switching.is_recorded(state.settings, dataclasses.replace(champion, promotion="another"))
