"""What the prediction log says of an experiment: who was answered by which arm, and what came of it.

What belongs here: reading the log once, in its own order. What does not: statistics (``evaluation``).

A person counts by exposure, the answer that is on disk, and not by the assignment, which may never have met anybody.
The line of an answer holds, under ``experiment``, protocol, share, unit, and whether the challenger failed to answer;
that of the other model's score has the kind ``shadow`` and the same request and position.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.assignment import TrialArm
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import parse
from clinical_assets.records.prediction_log.lines import OUTCOME, PREDICTION, SHADOW
from clinical_assets.records.prediction_log.segments import find_lines


@dataclass(frozen=True)
class ShadowScore:
    """What a model said that did not answer; risk None where it failed."""

    risk: float | None
    is_alert: bool
    tier: str | None


@dataclass(frozen=True)
class Exposure:
    """One answered record.

    Attributes
    ----------
    seq : int
        Its line in the log.
    at : datetime
        UTC.
    record : str
        Pseudonym of what was predicted for: a person, or one of their visits.
    subject : str
        Pseudonym of the person.
    unit : str
        What was assigned.
    arm : str
        That was assigned.
    share : float
        Planned share of the challenger then; 0 in the silent stage.
    failed : bool
        The challenger was to answer and could not, so that the champion did.
    risk, is_alert, tier
        As answered.
    groups : mapping
        Protected attribute to group; None is unknown.
    latency_ms : float
        From the request to the log.
    shadow : ShadowScore or None
        Of the other model.
    """

    seq: int
    at: dt.datetime
    record: str
    subject: str
    unit: str
    arm: TrialArm
    share: float
    failed: bool
    risk: float
    is_alert: bool
    tier: str
    groups: Mapping[str, str | None]
    latency_ms: float
    shadow: ShadowScore | None


@dataclass(frozen=True)
class KnownOutcome:
    """Whether the event happened, and when that was entered (UTC)."""

    event: bool
    at: dt.datetime


@dataclass(frozen=True)
class ExperimentLog:
    """Exposures in order, and outcomes by record.

    Attributes
    ----------
    exposures : tuple of Exposure
        In the order of the log.
    outcomes : mapping
        Record to its first outcome.
    read_to : int
        Last line that was read.
    """

    exposures: tuple[Exposure, ...]
    outcomes: Mapping[str, KnownOutcome]
    read_to: int


def read_exposures(settings: Settings, spec: CohortSpec, *, protocol: str) -> ExperimentLog:
    """Everything that a log says of the experiment whose protocol has a digest.

    Raises
    ------
    LogDamaged
        A line was changed.
    """
    lines, read_to = find_lines(settings, spec.name, kinds=(PREDICTION, OUTCOME, SHADOW))
    shadows: dict[tuple[str, int], ShadowScore] = {}
    outcomes: dict[str, KnownOutcome] = {}
    answered = []
    for line in lines:
        content = line.content
        if content is None:  # erased
            continue
        if line.kind == OUTCOME:
            event = int(content["outcome"]) >= spec.target.action_from
            outcomes.setdefault(str(content["unit"]), KnownOutcome(event, parse(line.at)))
        elif line.kind == SHADOW:
            if content["experiment"] == protocol:
                score = ShadowScore(content["risk"], bool(content["is_alert"]), content["tier"])
                shadows[line.request, int(content["position"])] = score
        elif (content.get("experiment") or {}).get("protocol") == protocol:
            answered.append((line, content))
    exposures = tuple(
        _exposure(line.seq, line.at, content, shadows.get((line.request, int(content["position"]))))
        for line, content in answered
    )
    return ExperimentLog(exposures, outcomes, read_to)


def _exposure(seq: int, at: str, content: Mapping[str, Any], shadow: ShadowScore | None) -> Exposure:
    terms = content["experiment"]
    return Exposure(
        seq=seq,
        at=parse(at),
        record=str(content["unit"]),
        subject=str(content["subject"]),
        unit=str(terms["unit"]),
        arm=content["arm"],
        share=float(terms["share"]),
        failed=bool(terms["failed"]),
        risk=float(content["risk"]),
        is_alert=bool(content["is_alert"]),
        tier=str(content["tier"]),
        groups=content["groups"],
        latency_ms=float(content["latency_ms"]),
        shadow=shadow,
    )
