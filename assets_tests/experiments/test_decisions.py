"""Who may begin, raise and end an experiment, and what of the records counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import Releasable, proof, write_by_hand
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.ward.trial import WardTrial, ward_trial
from clinical_assets.experiments.decisions import end_experiment, stop_experiment
from clinical_assets.experiments.register import ExperimentError, experiment_of, experiments_of
from clinical_assets.governance.errors import Refused
from clinical_assets.records.ledger.facts.experiments import ExperimentFacts


def refused(code: str, act: Callable[[], object]) -> None:
    with pytest.raises(Refused) as error:
        act()
    assert error.value.code == code


def test_an_experiment_goes_from_signature_to_stage_to_end_each_by_somebody_who_decides(trial: WardTrial) -> None:
    refused("author_signs", lambda: trial.begin("ann"))
    refused("no_role", lambda: trial.begin("dave"))
    begun = trial.begin()
    assert (begun.state, begun.share, dict(begun.signers)) == ("silent", 0.0, {"bob": "reviewer"})
    refused("experiment_runs", lambda: trial.begin("carol"))
    refused("other_stage", lambda: trial.expose(0.25))
    refused("too_early", lambda: trial.expose(seen=0))
    live = trial.expose()
    assert (live.state, live.share) == ("live", 0.5)
    refused("other_stage", trial.expose)
    refused("no_role", lambda: stop_experiment(trial.cohort, proof=proof("dave"), reason="Enough."))
    ended = stop_experiment(trial.cohort, proof=proof("carol"), reason="Enough.")
    assert (ended.state, ended.share, ended.runs) == ("stopped", 0.0, False)
    refused("signed_already", trial.begin)
    refused("nothing_runs", trial.expose)
    facts = [ExperimentFacts.found(each.facts) for each in trial.cohort.workspace.ledger.entries(action="experiment")]
    assert [each.event for each in facts if each] == ["signed", "started", "raised", "ended"]


def test_an_experiment_begins_with_the_last_signature_that_its_protocol_asks_for(
    released_once: Releasable, tmp_path: Path
) -> None:
    decides = [{"role": "reviewer", "count": 1}, {"role": "statistician", "count": 1}]
    trial = ward_trial(released_once.copy_to(tmp_path / "released"), decides=decides)
    assert trial.begin().lacking == {"statistician": 1}
    assert trial.begin("dave").runs


def test_nobody_is_exposed_to_a_challenger_that_a_gate_fails_or_whose_files_changed(trial: WardTrial) -> None:
    trial.begin()
    trial.made.judge(bias="fail")
    refused("unfit", trial.expose)
    trial.made.judge()
    trial.expose()


def test_a_protocol_compares_with_what_serves(trial: WardTrial) -> None:
    trial.made.approve()
    trial.made.promote()
    refused("other_champion", trial.begin)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE experiments SET document = replace(document, '0.6', '0.7')",
        "UPDATE ledger SET facts = replace(facts, '\"share\":0.5', '\"share\":0.25') WHERE action = 'experiment' "
        "AND facts LIKE '%raised%'",
        "UPDATE ledger SET facts = replace(facts, 'reviewer', 'statistician') WHERE action = 'experiment'",
    ],
)
def test_a_protocol_or_an_entry_that_was_written_by_hand_stops_it(trial: WardTrial, statement: str) -> None:
    trial.begin()
    trial.expose()
    write_by_hand(trial.made, statement)
    with pytest.raises(ExperimentError):
        experiments_of(trial.made.records, COHORT)


def test_an_automation_may_end_an_experiment_once_and_do_nothing_else(trial: WardTrial) -> None:
    begun = trial.begin()
    told = {"verdict": "roll_back", "rule": "net_benefit", "reason": "Worse.", "evidence": {"n": 3}}
    assert end_experiment(trial.cohort, begun, actor="automation:test", **told)  # type: ignore[arg-type]
    assert not end_experiment(trial.cohort, begun, actor="automation:test", **told)  # type: ignore[arg-type]
    found = experiment_of(trial.made.records, COHORT, "second_model")
    assert found.end is not None
    assert (found.state, found.end.rule, found.end.evidence) == ("roll_back", "net_benefit", {"n": 3})
    facts = found.end.model_copy(update={"event": "raised", "share": 0.5, "verdict": None})
    trial.cohort.workspace.ledger.append(
        "experiment", actor="automation:test", cohort=COHORT, digest=facts.protocol, facts=facts
    )
    with pytest.raises(ExperimentError, match="signed by nobody"):
        experiments_of(trial.made.records, COHORT)
