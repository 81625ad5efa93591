"""What goes on is ended by itself where its protocol says so, and reported on."""

from __future__ import annotations

import json

import pytest

from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.ward.trial import WardTrial
from clinical_assets.experiments.planning.drafting import draft_protocol
from clinical_assets.experiments.planning.protocol_files import protocol_path, read_protocol, write_draft
from clinical_assets.experiments.register import experiments_of
from clinical_assets.experiments.reports import report_folder, shadow_report, write_reports
from clinical_assets.experiments.watching import newest_experiment, view_experiment, watch_experiment
from clinical_assets.foundation.errors import SpecError
from clinical_assets.records.ledger.facts.experiments import ExperimentFacts

ACTOR = "automation:test"


def test_a_harmful_arm_is_ended_without_a_person_with_its_numbers_in_the_ledger_and_a_page(trial: WardTrial) -> None:
    trial.begin()
    trial.answer(40, found={"champion": 0.6, "challenger": 0.6}, seed=1)
    view = watch_experiment(trial.cohort, actor=ACTOR)
    assert view is not None
    assert view.judgement.verdict is None
    trial.expose()
    trial.answer(700, found={"champion": 0.8, "challenger": 0.05}, seed=2)
    view = watch_experiment(trial.cohort, actor=ACTOR)
    assert view is not None
    (ended,) = experiments_of(trial.made.records, COHORT)
    assert ended.end is not None
    assert ended.state == view.judgement.verdict == "roll_back"
    assert ended.end.evidence["exposed_patients"] == view.evaluation.arms["challenger"].patients > 300
    (entry,) = trial.cohort.workspace.ledger.newest(1)
    assert (entry.actor, entry.action) == (ACTOR, "experiment")
    assert ExperimentFacts.found(entry.facts) == ended.end
    assert watch_experiment(trial.cohort, actor=ACTOR) is None

    newest = newest_experiment(trial.cohort)
    assert newest is not None
    after = view_experiment(trial.cohort, newest)
    page = write_reports(trial.made.settings, trial.cohort.spec, after).read_text(encoding="utf-8")
    assert "roll back" in page
    assert view.judgement.reason.split(":")[0] in page
    assert "data:image/png" in page
    told = json.loads((report_folder(trial.made.settings, COHORT) / "second_model.json").read_text(encoding="utf-8"))
    assert told["experiment"]["exposed_patients"] == ended.end.evidence["exposed_patients"]
    # A subject's name stands in no report.
    assert "s1_" not in page
    assert "s1_" not in json.dumps(told)


def test_pairs_compare_both_models_whichever_of_them_answered(trial: WardTrial) -> None:
    trial.begin()
    assert shadow_report(view_experiment(trial.cohort, trial.running))["verdict"] == "insufficient"
    trial.expose()
    trial.answer(400, found={"champion": 0.9, "challenger": 0.1})
    report = shadow_report(view_experiment(trial.cohort, trial.running))
    assert report["pairs"] == 400
    assert report["alert_share"]["champion"] > report["alert_share"]["challenger"] + 0.1
    assert report["net_benefit_difference"]["high"] < 0


def test_an_experiment_whose_champion_was_replaced_is_halted(trial: WardTrial) -> None:
    trial.begin()
    trial.made.approve("carol")
    trial.made.promote()
    view = watch_experiment(trial.cohort, actor=ACTOR)
    assert view is not None
    assert (view.judgement.verdict, view.judgement.rule) == ("halted", "champion")


def test_a_draft_is_filled_with_what_is_known_and_refused_until_a_person_completed_it(trial: WardTrial) -> None:
    content = draft_protocol(trial.cohort, "second_model")
    assert content["champion"] == trial.protocol.champion
    path = protocol_path(trial.cohort, "second_model")
    write_draft(path, content)
    with pytest.raises(SpecError, match="exists"):
        write_draft(path, content)
    with pytest.raises(SpecError, match="not written yet"):
        read_protocol(trial.cohort, path)
    path.write_text(path.read_text(encoding="utf-8").replace("TODO", "Said"), encoding="utf-8")
    protocol = read_protocol(trial.cohort, path)
    assert protocol.plan.units >= protocol.size().n
    path.write_text(path.read_text(encoding="utf-8").replace("attribute: sex", "attribute: frail"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"guardrails.*attribute"):
        read_protocol(trial.cohort, path)
