"""What a model is judged by is what its training entered; changed before or after the gates, it is noticed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from assets_tests.worlds.ward.dossiers import judge
from assets_tests.worlds.ward.trained import AUTHOR, COHORT, Trained
from clinical_assets.governance.candidate.evidence_check import changed_evidence
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.folder import DossierError
from clinical_assets.governance.dossier.stored_dossier import load_dossier, outdated_gates
from clinical_assets.governance.gates.holdout import holdout_of, integrity
from clinical_assets.governance.promotion.blockers import blockers
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts, store_verdicts
from clinical_assets.modelling.trainings.evidence import EVIDENCE, kept_digests
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.modelling.trainings.trainings import RESULTS
from clinical_assets.records.ledger.ledger import Ledger

KINDER = "outcome = CASE WHEN risk > 0.5 THEN 1 ELSE 0 END WHERE part = 'holdout'"


def _integrity(trained: Trained) -> dict[str, Verdict]:
    candidate = trained.candidate()
    return {verdict.criterion: verdict for verdict in integrity(candidate, holdout_of(candidate))}


def _rewrite(trained: Trained, change: str) -> None:
    with trained.candidate().warehouse.writer() as connection:
        connection.execute(f"UPDATE {relation_of(trained.digest)} SET {change}")


def _praise(trained: Trained) -> None:
    path = trained.training.report / RESULTS
    results = json.loads(path.read_text())
    results["metrics"]["auroc"]["value"] = 0.987
    path.write_text(json.dumps(results))


def test_what_nobody_touched_is_as_it_was_entered_and_comes_out_of_the_snapshots_again(trained: Trained) -> None:
    found = _integrity(trained)
    assert {name: verdict.verdict for name, verdict in found.items()} == dict.fromkeys(found, "pass")
    assert found["outcomes_recomputed"].n == holdout_of(trained.candidate()).frame.height


def test_outcomes_rewritten_before_the_gates_fail_twice(trained: Trained) -> None:
    _rewrite(trained, KINDER)
    found = _integrity(trained)
    assert found["evidence_unchanged"].verdict == "fail"
    assert found["outcomes_recomputed"].verdict == "fail"
    assert found["outcomes_recomputed"].value is not None
    assert found["outcomes_recomputed"].value > 10


def test_outcomes_rewritten_with_a_forged_entry_still_do_not_come_out_of_the_snapshots(trained: Trained) -> None:
    _rewrite(trained, KINDER)
    candidate = trained.candidate()
    with candidate.warehouse.reader() as connection:
        forged = kept_digests(connection, candidate.training)
    facts = {EVIDENCE: dict(forged)}
    Ledger(candidate.records).append("training", actor=AUTHOR, cohort=COHORT, digest=trained.digest, facts=facts)
    found = _integrity(trained)
    assert (found["evidence_unchanged"].verdict, found["outcomes_recomputed"].verdict) == ("pass", "fail")


def test_a_report_that_was_edited_gets_no_dossier_and_no_release(trained: Trained) -> None:
    judge(trained.candidate())
    write_dossier(trained.candidate())
    assert "evidence_changed" not in {each.code for each in blockers(trained.candidate())}
    _praise(trained)
    assert changed_evidence(trained.candidate()) == ("the report's results.json",)
    with pytest.raises(DossierError, match="not those that its training entered"):
        write_dossier(trained.candidate())
    assert "evidence_changed" in {each.code for each in blockers(trained.candidate())}


def test_a_training_older_than_digests_cannot_be_judged_rather_than_passes(trained: Trained) -> None:
    candidate = trained.candidate()
    old = replace(candidate, bundle=replace(candidate.bundle, digest="sha256:" + "0" * 64))
    Ledger(old.records).append("training", actor=AUTHOR, cohort=COHORT, digest=old.digest)
    assert changed_evidence(old) is None
    found = {verdict.criterion: verdict.verdict for verdict in integrity(old, holdout_of(candidate))}
    assert found["evidence_unchanged"] == "insufficient"


def test_the_first_figures_of_the_page_are_those_of_the_gate(trained: Trained) -> None:
    said = Verdict("performance", "auroc", "pass", "Good.", value=0.702, limit=">= 0.6", ci_low=0.611, ci_high=0.793)
    judge(trained.candidate(), performance=(said,))
    page = write_dossier(trained.candidate()).index.read_text()
    figures = page.split('<dl class="headline">')[1].split("</dl>")[0]
    assert "0.702" in figures
    assert "0.611 to 0.793" in figures


def test_gates_evaluated_again_after_the_signature_stand_against_the_release(trained: Trained) -> None:
    candidate = trained.candidate()
    judge(candidate)
    dossier = write_dossier(candidate)
    newest = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    assert outdated_gates(dossier, newest) == ()
    judge(candidate)  # the same words once more
    assert outdated_gates(dossier, latest_verdicts(candidate.records, bundle_digest=candidate.digest)) == ()
    worse = Verdict("performance", "auroc", "pass", "The interval keeps the limit.", value=0.61, limit=">= 0.6")
    store_verdicts(
        candidate.records,
        cohort=candidate.cohort,
        bundle_digest=candidate.digest,
        gate="performance",
        verdicts=(worse,),
        actor="automation:tests",
        run_id=None,
    )
    newest = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    assert outdated_gates(load_dossier(candidate.settings, COHORT, candidate.digest), newest) == ("performance",)
    assert "verdicts_not_shown" in {each.code for each in blockers(trained.candidate())}
    again = write_dossier(trained.candidate())
    assert again.digest != dossier.digest
    assert "verdicts_not_shown" not in {each.code for each in blockers(trained.candidate())}
