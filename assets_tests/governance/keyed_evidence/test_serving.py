"""No forged promotion, pointer or rollback makes a model serve.

Every case here was accepted, or noticed by nothing, while signatures were rows with a public hash.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from assets_tests.governance.keyed_evidence.forging import forge_entry, insert, row_of, wrong
from assets_tests.worlds.ward.released import (
    Releasable,
    secret,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.defs.resources import Platform
from clinical_assets.defs.shared.serving_model import serving_model
from clinical_assets.governance.dossier.folder import canonical_bytes
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion import promotion, release_record
from clinical_assets.governance.promotion.promotion import PromotionRefused
from clinical_assets.governance.promotion.release_record import refuse_unreleased
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.verification import verify_all
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import JOURNAL, POINTER, ChampionError
from clinical_assets.records import schema
from clinical_assets.records.ledger.ledger import Ledger


class TestServing:
    def test_a_forged_row_makes_no_model_serve_that_was_never_promoted(self, second: Releasable) -> None:
        candidate = second.candidate
        champion_pointer.keep_warm(second.settings, candidate.bundle)
        before = champion_pointer.current(second.settings, COHORT)
        assert before is not None
        row = row_of(second, schema.promotions)
        # The number of a true promotion's entry, which is of another bundle.
        forged = {**row, "id": "forged", "bundle_digest": candidate.digest}
        insert(second, "promotions", forged)
        pointer = champion_pointer.Champion(
            cohort=COHORT,
            digest=candidate.digest,
            since=row["at"],
            by=row["actor"],
            previous=(before.digest,),
            promotion="forged",
        )
        champion_pointer.switch(second.settings, pointer)
        assert not promotion.is_recorded(second.settings, pointer)
        with pytest.raises(ChampionError, match="records do not know"):
            serving_model(Platform().cohort(COHORT))
        assert set(wrong(second)) == {"promotions", "pointers", "registry"}

    @pytest.mark.parametrize("claim", ["nobody's signatures", "made-up signatures", "by itself", "no gates"])
    def test_nor_does_a_forged_entry_with_a_true_seal(self, second: Releasable, claim: str) -> None:
        candidate = second.candidate
        champion_pointer.keep_warm(second.settings, candidate.bundle)
        (true,) = Ledger(second.records).entries(action="promotion")
        gates = {run.gate: run.verdicts_digest for run in _runs(second).values()}
        facts = {**true.facts, "promotion": "forged", "dossier_digest": second.dossier_digest, "gates": gates}
        facts["before"] = true.digest
        facts |= {
            "nobody's signatures": {"signatures": []},
            "made-up signatures": {"signatures": [str(uuid.uuid4())]},
            "by itself": {"signatures": [], "unattended": True, "before": candidate.digest},
            "no gates": {"signatures": [second.approve("bob").id], "gates": {}},
        }[claim]
        seq = forge_entry(second, "promotion", facts, sealed=True, actor=true.actor)
        row = {**row_of(second, schema.promotions), "id": "forged", "bundle_digest": candidate.digest}
        row |= {"ledger_seq": seq, "previous_digest": facts["before"], "dossier_digest": facts["dossier_digest"]}
        insert(second, "promotions", row)
        pointer = champion_pointer.Champion(
            cohort=COHORT, digest=candidate.digest, since=row["at"], by=row["actor"], previous=(), promotion="forged"
        )
        champion_pointer.switch(second.settings, pointer)
        assert promotion.is_recorded(second.settings, pointer)
        with pytest.raises(Refused) as caught:
            serving_model(Platform().cohort(COHORT))
        assert caught.value.code == "unreleased"
        assert "pointers" in wrong(second)

    def test_an_old_pointer_that_is_put_back_and_one_that_is_gone_are_refused(self, second: Releasable) -> None:
        pointer = champion_pointer.serving_folder(second.settings, COHORT) / POINTER
        old = pointer.read_bytes()
        second.approve("bob")
        second.promote()
        new = pointer.read_bytes()
        pointer.write_bytes(old)
        with pytest.raises(ChampionError, match="was put back"):
            serving_model(Platform().cohort(COHORT))
        pointer.unlink()
        with pytest.raises(ChampionError, match="is missing"):
            serving_model(Platform().cohort(COHORT))
        assert set(wrong(second)) == {"pointers"}
        pointer.write_bytes(new)
        assert serving_model(Platform().cohort(COHORT)) is not None

    @pytest.mark.parametrize("field", ["cohort", "bundle_digest"])
    def test_a_dossier_that_says_it_is_anothers_is_noticed(self, second: Releasable, field: str) -> None:
        (manifest, *_) = sorted(second.settings.dossiers.glob("*/*/manifest.json"))
        found = json.loads(manifest.read_text(encoding="utf-8"))
        manifest.write_bytes(canonical_bytes({**found, field: found[field][:-1] + "x"}))
        assert "never entered together" in wrong(second)["dossiers"][0]

    def test_a_pointer_whose_way_back_was_edited_is_refused(self, second: Releasable) -> None:
        pointer = champion_pointer.serving_folder(second.settings, COHORT) / POINTER
        found = json.loads(pointer.read_text(encoding="utf-8"))
        pointer.write_text(json.dumps({**found, "previous": ["sha256:" + "0" * 64]}), encoding="utf-8")
        with pytest.raises(ChampionError, match="champion before it that the ledger"):
            promotion.serving(second.settings, COHORT)
        assert wrong(second)["pointers"]

    @pytest.mark.parametrize("changed", ["reason", "by"])
    def test_a_rollback_that_names_somebody_was_signed_by_them(
        self, second: Releasable, monkeypatch: pytest.MonkeyPatch, changed: str
    ) -> None:
        second.approve("bob")
        second.promote()
        key = prove(second.records, "carol", secret("carol"), actor="ann")
        sign = release_record.signed_change
        monkeypatch.setattr(
            promotion,
            "signed_change",
            lambda *values: sign(*values[:2], "Another.", values[3]).model_copy(
                update={"by": "bob"} if changed == "by" else {}
            ),
        )
        champion = promotion.rollback(second.settings, COHORT, actor="root", reason="Alarms.", by=key)
        assert not promotion.is_recorded(second.settings, champion)
        with pytest.raises(ChampionError, match="records do not know"):
            serving_model(Platform().cohort(COHORT))
        assert set(wrong(second)) >= {"promotions", "pointers"}

    def test_what_people_signed_serves_and_comes_back(self, second: Releasable) -> None:
        second.approve("bob")
        champion = second.promote()
        found = serving_model(Platform().cohort(COHORT))
        assert found is not None
        assert found[0] == champion
        for digest in (champion.digest, champion.previous[0]):
            refuse_unreleased(second.settings, COHORT, digest)
        key = prove(second.records, "carol", secret("carol"), actor="ann")
        promotion.rollback(second.settings, COHORT, actor="root", reason="Alarms.", by=key)
        found = serving_model(Platform().cohort(COHORT))
        assert found is not None
        assert found[0].digest == champion.previous[0]
        assert verify_all(second.settings).intact


@pytest.mark.parametrize("said", ["rejected", "gate_failed"])
def test_what_is_said_between_check_and_switch_ends_the_promotion(
    second: Releasable, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    second.approve("bob")
    before = champion_pointer.current(second.settings, COHORT)
    keep_warm = champion_pointer.keep_warm

    def meanwhile(*arguments: Any) -> Any:
        kept = keep_warm(*arguments)
        if said == "rejected":
            second.reject("carol")
        else:
            second.judge(security="fail", dossier=False)
        return kept

    monkeypatch.setattr(champion_pointer, "keep_warm", meanwhile)
    with pytest.raises(PromotionRefused) as caught:
        second.promote()
    assert said in {each.code for each in caught.value.blockers}
    assert champion_pointer.current(second.settings, COHORT) == before
    assert not (champion_pointer.serving_folder(second.settings, COHORT) / JOURNAL).exists()
    assert len(Ledger(second.records).entries(action="promotion")) == 1
    assert promotion.recover(second.settings, COHORT) is None


def _runs(made: Releasable) -> Any:
    from clinical_assets.governance.verdicts.verdict_store import latest_verdicts

    return latest_verdicts(made.records, bundle_digest=made.candidate.digest)
