"""Every reason against a promotion is found at the moment of promotion, whatever was true before."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assets_tests.governance.promotion.champions import consistent_champion, last_champion
from assets_tests.worlds.ward.released import (
    OPEN,
    Releasable,
    administrator,
    flip_a_byte,
    write_by_hand,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cohorts.governance import PermittedChange
from clinical_assets.governance.candidate import approved_terms
from clinical_assets.governance.candidate.change import Change
from clinical_assets.governance.dossier import content as dossier_content
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.gates.regulatory import gate as regulatory
from clinical_assets.governance.promotion import blockers, promotion
from clinical_assets.governance.promotion.promotion import PromotionRefused, rollback
from clinical_assets.governance.signing import people
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.tracking import mlflow_store, registry
from clinical_assets.records.ledger.ledger import Ledger

Spoil = Callable[[Releasable], object]


def _bundle(made: Releasable) -> Path:
    return made.candidate.bundle.folder


def _take_journal_entry(made: Releasable) -> None:
    write_by_hand(made, "UPDATE ledger SET actor = 'mallory' WHERE seq = 3")


def _erase(made: Releasable) -> None:
    Ledger(made.records).append(
        "erasure", actor="root", cohort=COHORT, reason="asked for", facts={"models": [made.candidate.digest]}
    )


def _another_challenger(made: Releasable) -> None:
    store = mlflow_store.client(made.settings)
    store.delete_registered_model_alias(COHORT, registry.CHALLENGER)


def _warm_and_damaged(made: Releasable) -> None:
    flip_a_byte(champion_pointer.keep_warm(made.settings, made.candidate.bundle).folder / "features.sql")


def _new_dossier(made: Releasable) -> None:
    made.judge(performance="insufficient", dossier=False)
    made.judge(dossier=False)
    made.trained.describe(title="Another title (synthetic)")
    write_dossier(made.candidate)


# What is done to a model that may be promoted, and what then stands against it.
SPOILED: dict[str, tuple[Spoil, set[str]]] = {
    "a gate failed after signing": (
        lambda made: made.judge(performance="fail", dossier=False),
        {"gate_failed", "verdicts_not_shown"},
    ),
    "a gate cannot judge any more": (
        lambda made: made.judge(bias="insufficient", dossier=False),
        {"waiver_missing", "verdicts_not_shown"},
    ),
    "a verdict was edited": (
        lambda made: write_by_hand(made, "UPDATE verdicts SET value = 0.9 WHERE criterion = 'security_holds'"),
        {"verdicts_changed"},
    ),
    "a gate never ran": (
        lambda made: write_by_hand(
            made,
            "UPDATE ledger SET digest = NULL WHERE action = 'gate_verdict' AND facts LIKE '%\"security\"%'",
            "DELETE FROM verdicts WHERE criterion = 'security_holds'",
            "DELETE FROM gate_runs WHERE gate = 'security'",
        ),
        {"gate_missing", "ledger_broken"},
    ),
    "the dossier was changed": (
        lambda made: flip_a_byte(load_dossier(made.settings, COHORT, made.candidate.digest).index),
        {"dossier_unusable"},
    ),
    "the dossier is gone": (lambda made: shutil.rmtree(made.settings.dossiers), {"dossier_unusable"}),
    "another dossier was written": (_new_dossier, {"unsigned", "other_dossier"}),
    "somebody rejects it": (lambda made: made.reject("carol"), {"rejected"}),
    "the signer turns out to be the author": (
        lambda made: people.set_roles(
            made.records, "bob", accounts=["ann"], actor="root", by=administrator(made.records)
        ),
        {"author_signed"},
    ),
    "a ledger row was edited by hand": (_take_journal_entry, {"ledger_broken"}),
    "the ledger was truncated": (
        lambda made: write_by_hand(made, "DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)"),
        {"ledger_broken", "signatures_changed", "unsigned"},
    ),
    "a subject was erased": (_erase, {"erased_subjects"}),
    "the challenger is another one": (_another_challenger, {"not_challenger"}),
    "a warm copy is damaged": (_warm_and_damaged, {"bundle_changed"}),
}


def change_is(patch: pytest.MonkeyPatch, found: Change) -> None:
    """Let whoever asks for the kind of change be told this one."""
    for module in (blockers, dossier_content, regulatory):
        patch.setattr(module, "kind_of_change", lambda _: found)


class TestBlockers:
    @pytest.mark.parametrize("what", SPOILED)
    def test_whatever_changes_after_signing_is_found_at_the_moment_of_promotion(
        self, signed: Releasable, what: str
    ) -> None:
        spoil, codes = SPOILED[what]
        spoil(signed)
        with pytest.raises(PromotionRefused) as refused:
            signed.promote()
        assert {blocker.code for blocker in refused.value.blockers} == codes
        assert all(blocker.message and blocker.cure for blocker in refused.value.blockers)
        assert all(blocker.message in refused.value.message for blocker in refused.value.blockers)
        assert champion_pointer.current(signed.settings, COHORT) is None
        assert registry.find_version(signed.settings, COHORT, alias="champion") is None

    def test_a_flipped_byte_of_the_model_is_found_although_it_was_whole_a_moment_ago(self, signed: Releasable) -> None:
        candidate = signed.candidate
        flip_a_byte(candidate.bundle.folder / "model.onnx")
        with pytest.raises(PromotionRefused) as refused:
            promotion.promote(candidate, actor="release")
        assert [blocker.code for blocker in refused.value.blockers] == ["bundle_changed"]
        assert "model.onnx" in refused.value.message

    def test_an_unsigned_model_is_told_who_is_lacking_and_what_they_type(self, made: Releasable) -> None:
        (blocker,) = promotion.blockers(made.candidate)
        assert blocker.code == "unsigned"
        assert "reviewer" in blocker.message
        digits = made.dossier_digest.removeprefix("sha256:")[:8]
        assert f"clinical-assets approve {COHORT} --digest {digits} --as LOGIN" in blocker.cure

    def test_a_signature_that_ended_counts_no_more(self, made: Releasable) -> None:
        end = dt.datetime.fromisoformat(made.approve().expires_at)
        assert promotion.blockers(made.candidate, now=end - dt.timedelta(seconds=1)) == ()
        found = promotion.blockers(made.candidate, now=end)
        assert [blocker.code for blocker in found] == ["unsigned", "signature_expired"]
        with pytest.raises(PromotionRefused):
            promotion.promote(made.candidate, actor="release", now=end)

    def test_a_waiver_is_of_its_gate_and_criterion_on_this_dossier(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="insufficient")
        made.approve()
        made.waive(of=OPEN)
        (blocker,) = promotion.blockers(made.candidate)
        assert (blocker.code, "performance/performance_holds" in blocker.message) == ("waiver_missing", True)

    def test_a_waiver_that_ended_is_told_as_such(self, made: Releasable) -> None:
        made.judge(bias="insufficient")
        end = dt.datetime.fromisoformat(made.waive().expires_at)
        (blocker,) = [each for each in promotion.blockers(made.candidate, now=end) if each.code == "waiver_missing"]
        assert "the waiver of bob ended on" in blocker.message

    def test_promoting_what_serves_is_recorded_anew_when_people_signed_another_plan(self, signed: Releasable) -> None:
        first = signed.promote()
        signed.trained.describe(pccp={"permitted": [{"kind": "refit", "promotes_itself": True}]})
        with pytest.raises(PromotionRefused):
            signed.promote()
        write_dossier(signed.candidate)
        signed.approve()
        again = signed.promote()
        assert consistent_champion(signed) == again
        assert (again.digest, again.previous) == (first.digest, first.previous)
        assert signed.promote() == again
        assert approved_terms.released_under(signed.candidate, again.digest) == approved_terms.agreed_now(
            signed.candidate.spec
        )

    def test_an_older_model_does_not_come_back_by_promotion(self, second: Releasable) -> None:
        old = second.trained.candidate(last_champion(second).digest)
        assert {"superseded", "not_challenger"} <= {blocker.code for blocker in promotion.blockers(old)}

    def test_all_reasons_are_told_at_once(self, made: Releasable) -> None:
        made.judge(bias="insufficient", performance="fail")
        made.reject("carol")
        assert set(made.codes()) == {"gate_failed", "waiver_missing", "rejected", "unsigned"}

    def test_a_change_that_the_plan_lets_take_effect_needs_gates_but_no_signature(
        self, second: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def planned(by_itself: bool) -> None:
            permitted = PermittedChange(kind="refit", promotes_itself=by_itself)
            change_is(monkeypatch, Change("refit", (), permitted, first))

        first = last_champion(second).digest
        planned(False)
        assert second.codes() == ["unsigned"]
        planned(True)
        assert second.codes() == []
        second.judge(bias="insufficient", dossier=False)
        assert second.codes() == ["verdicts_not_shown", "waiver_missing"]
        second.judge(dossier=False)
        second.promote()
        rollback(second.settings, COHORT, actor="root", reason="Alarms on the ward.")
        assert "unsigned" in second.codes()

    def test_a_plan_that_was_changed_since_the_champion_was_released_lets_nothing_take_effect_by_itself(
        self, second: Releasable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        permitted = PermittedChange(kind="refit", promotes_itself=True)
        first = last_champion(second).digest
        change_is(monkeypatch, Change("refit", (), permitted, first))
        assert second.codes() == []
        second.trained.describe(pccp={"permitted": [permitted.model_dump(mode="json")]})
        assert set(second.codes()) == {"description_changed", "unsigned", "plan_changed"}
        write_dossier(second.candidate)
        assert second.codes() == ["unsigned", "plan_changed"]
        second.approve()
        second.promote()
        (_, entry) = Ledger(second.records).entries(action="promotion")
        plan = entry.facts["plan_digest"]
        assert (approved_terms.released_under(second.candidate, second.candidate.digest) or ("",))[0] == plan
        assert entry.facts["plan_digest"] == approved_terms.plan_digest(second.candidate.spec)
        assert (approved_terms.released_under(second.candidate, first) or ("",))[0] != plan

    @pytest.mark.parametrize(
        "changes",
        [
            {"approval": {"signatures": [{"role": "nurse"}]}},
            {"limits": {"auroc_lower": 0.5}},
            {"intended_use": "Everybody, at any time."},
        ],
    )
    def test_signatures_are_for_the_description_that_the_dossier_shows(
        self, signed: Releasable, changes: dict[str, Any]
    ) -> None:
        signed.trained.describe(**changes)
        assert "description_changed" in signed.codes()
