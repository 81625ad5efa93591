"""Who is answered by which arm, for the records that are scored together; and what the log says of it.

What belongs here: units, arms, the challenger's scores. What does not: scoring off the hot path (``shadowing``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from clinical_assets.experiments.assignment import CHALLENGER_ARM, TrialArm, arm_of
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.bundle.record_scoring import TableRows
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.prediction_log.lines import SHADOW, LogEntry
from clinical_assets.serving.requests.record_checks import CheckedRecords
from clinical_assets.serving.scoring.champion_scorer import UnitScore
from clinical_assets.serving.scoring.trials.live_trials import LiveTrial

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialPart:
    """The part of one record in an experiment.

    Attributes
    ----------
    protocol : str
        Digest.
    unit : str
        What was assigned, by its pseudonym.
    arm : str
        That was assigned.
    share : float
        Planned then.
    failed : bool
        The challenger was to answer and could not.
    bundle : Bundle or None
        The challenger, where it answered.
    other : UnitScore or None
        What the champion would have said, where the challenger answered.
    """

    protocol: str
    unit: str
    arm: TrialArm
    share: float
    failed: bool = False
    bundle: Bundle | None = None
    other: UnitScore | None = None

    def content(self) -> dict[str, Any]:
        """What a line of the log says of it."""
        return {"protocol": self.protocol, "unit": self.unit, "share": self.share, "failed": self.failed}


def assigned_parts(
    trial: LiveTrial, checked: CheckedRecords, number: int, *, caller: str, names: SubjectNames
) -> list[TrialPart]:
    """The part of each record of a request, by assignment alone."""
    experiment = trial.experiment
    protocol, digest, share = experiment.protocol, experiment.protocol.digest, experiment.share
    request = checked.requests[number]
    if protocol.unit.of == "clinician":
        units = [caller] * len(request.subjects)
    elif protocol.unit.of == "site":
        sites = _sites(trial, checked, number)
        units = [names.unit(("site", sites.get(subject))) for subject in request.subjects]
    else:
        units = [names.subject(subject) for subject in request.subjects]
    salt = str(experiment.salt)
    return [TrialPart(digest, unit, arm_of(unit, salt=salt, share=share), share) for unit in units]


def challenger_scores(trial: LiveTrial, tables: Mapping[str, TableRows]) -> dict[tuple[Any, ...], UnitScore] | None:
    """What the challenger says of records, or None where it cannot: the champion's answer stands then."""
    try:
        return trial.scorer.score(tables)
    except (duckdb.Error, BundleError) as error:
        # By its kind alone: its words may hold values of a record.
        _log.error("The challenger of %s could not score: %s", trial.experiment.protocol.cohort, type(error).__name__)
        return None


def shadow_entry(
    part: TrialPart,
    score: UnitScore | None,
    *,
    bundle: Bundle,
    request: str,
    key: str,
    position: int,
    record: str,
    subject: str,
) -> LogEntry:
    """What the log says of the score of the model that did not answer; None where it failed."""
    return LogEntry(
        SHADOW,
        request,
        key,
        bundle.digest,
        {
            "experiment": part.protocol,
            "position": position,
            "unit": record,
            "subject": subject,
            "risk": None if score is None else score.risk,
            "is_alert": False if score is None else score.is_alert,
            "class": None if score is None else score.predicted,
            "tier": None if score is None else score.tier,
            "threshold": bundle.description.threshold,
        },
    )


def is_treated(parts: Sequence[TrialPart]) -> bool:
    """Whether the challenger answers any of them."""
    return any(part.arm == CHALLENGER_ARM for part in parts)


def _sites(trial: LiveTrial, checked: CheckedRecords, number: int) -> dict[Any, Any]:
    spec = trial.scorer.spec
    columns, rows = checked.columns[spec.subject_table], checked.rows[spec.subject_table]
    subject, site = columns.index(spec.subject), columns.index(str(trial.experiment.protocol.unit.column))
    mine = [rows[row] for row in checked.requests[number].rows[spec.subject_table] if row in rows]
    return {row[subject]: row[site] for row in mine}
