"""Looking at what goes on, and ending it by itself where its protocol says so.

What belongs here: one look at one cohort. What does not: when somebody looks (a sensor, an asset, a command).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from clinical_assets.experiments.decisions import end_experiment
from clinical_assets.experiments.evaluation import TrialEvaluation, evaluate_experiment
from clinical_assets.experiments.exposures import ExperimentLog, read_exposures
from clinical_assets.experiments.permission import refuse_other_champion
from clinical_assets.experiments.register import Experiment, experiments_of
from clinical_assets.experiments.verdict import Judgement, judge_experiment
from clinical_assets.governance.errors import Refused
from clinical_assets.records.clock import parse
from clinical_assets.workspace import CohortHandle


@dataclass(frozen=True)
class ExperimentView:
    """An experiment with all that is known of it at a moment.

    Attributes
    ----------
    experiment : Experiment
    log : ExperimentLog
    evaluation : TrialEvaluation
        At the end of an experiment that has ended, else now.
    judgement : Judgement
        What follows; of one that has ended, how it did.
    """

    experiment: Experiment
    log: ExperimentLog
    evaluation: TrialEvaluation
    judgement: Judgement


def view_experiment(cohort: CohortHandle, experiment: Experiment, *, now: dt.datetime | None = None) -> ExperimentView:
    """What is known of an experiment, by default now; errors as `read_exposures`."""
    moment = now or dt.datetime.now(dt.UTC)
    end = experiment.end
    if end is not None:
        moment = min(moment, parse(end.at))
    log = read_exposures(cohort.settings, cohort.spec, protocol=experiment.protocol.digest)
    evaluation = evaluate_experiment(experiment.protocol, cohort.spec, log, now=moment)
    if end is not None:
        judgement = Judgement(end.verdict, end.rule or "person", experiment.end_reason or "", end.evidence)
    else:
        judgement = _judged(cohort, experiment, evaluation)
    return ExperimentView(experiment, log, evaluation, judgement)


def newest_experiment(cohort: CohortHandle) -> Experiment | None:
    """The one that goes on, else the one that was started last; None where none was started."""
    found = [each for each in experiments_of(cohort.records, cohort.name) if each.stages]
    return next((each for each in found if each.runs), found[-1] if found else None)


def watch_experiment(cohort: CohortHandle, *, actor: str, now: dt.datetime | None = None) -> ExperimentView | None:
    """Look at what goes on, and end it if its protocol says so; None where nothing goes on.

    Parameters
    ----------
    cohort : CohortHandle
        The cohort.
    actor : str
        ``automation:<name>``, for the ledger.
    now : datetime, optional
        Moment of the look.
    """
    running = next((each for each in experiments_of(cohort.records, cohort.name) if each.runs), None)
    if running is None:
        return None
    view = view_experiment(cohort, running, now=now)
    verdict = view.judgement.verdict
    if verdict is not None:
        end_experiment(
            cohort,
            running,
            verdict=verdict,
            rule=view.judgement.rule,
            reason=view.judgement.reason,
            evidence=view.judgement.evidence | _exposed(view.evaluation),
            actor=actor,
        )
    return view


def _judged(cohort: CohortHandle, experiment: Experiment, evaluation: TrialEvaluation) -> Judgement:
    try:
        refuse_other_champion(cohort, experiment.protocol)
    except Refused as error:
        return Judgement("halted", "champion", error.message)
    return judge_experiment(experiment, evaluation)


def _exposed(evaluation: TrialEvaluation) -> dict[str, int | float | str | None]:
    """How many were exposed, for the ledger."""
    treated = evaluation.arms["challenger"]
    return {"exposed_patients": treated.patients + evaluation.crossed, "exposed_answers": treated.answers}
