"""From records to logged answers for one cohort: checked, scored together, on disk, and only then given.

What belongs here: the order of these steps and what the log says of an answer. What does not: each step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.bundle import BundleError
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.prediction_log.lines import PREDICTION, LogEntry
from clinical_assets.records.prediction_log.writer import LogReceipt, PredictionLog
from clinical_assets.serving.requests.findings import RecordWarning, RequestFinding, RequestRefused
from clinical_assets.serving.requests.record_checks import CheckedRecords, CheckedRequest, Record, RecordChecker
from clinical_assets.serving.requests.record_models import request_spec
from clinical_assets.serving.scoring.champion_scorer import UnitScore
from clinical_assets.serving.scoring.champions import ChampionKeeper, ServedCohort
from clinical_assets.serving.scoring.gathering import Gatherer


@dataclass(frozen=True)
class PredictionRequest:
    """Records that somebody asks about.

    Attributes
    ----------
    request : str
        Id, which the answer names.
    key : str
        Id of the key of whoever asks.
    asked : str
        ``predict`` or ``explain``.
    records : sequence of mappings
        As the request model read them.
    received : float
        ``time.perf_counter`` when the request came.
    findings : tuple of RequestFinding
        What is wrong with its shape; the values are looked at all the same.
    """

    request: str
    key: str
    asked: str
    records: Sequence[Record]
    received: float
    findings: tuple[RequestFinding, ...] = ()


@dataclass(frozen=True)
class UnitAnswer:
    """What is said of one record: its score, warnings, and the line of the log that holds both."""

    score: UnitScore
    warnings: tuple[RecordWarning, ...]
    receipt: LogReceipt


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer that is on disk."""

    served: ServedCohort
    units: tuple[UnitAnswer, ...]


@dataclass(frozen=True)
class _Scored:
    served: ServedCohort
    checked: CheckedRequest
    scores: tuple[UnitScore, ...]


class CohortPredictions:
    """Answers for one cohort.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    keeper : ChampionKeeper
        Knows which champion answers.
    scoring, logging : Executor
        Threads for the two steps, so that one batch is logged while the next is scored.
    """

    def __init__(self, spec: CohortSpec, keeper: ChampionKeeper, *, scoring: Executor, logging: Executor) -> None:
        settings = keeper.workspace.settings
        self.spec, self.keeper = spec, keeper
        self.log = PredictionLog(settings, spec.name)
        self.names = SubjectNames(settings, spec.name)
        self._checker = RecordChecker(request_spec(spec), is_erased=self.names.is_erased)
        self._scoring: Gatherer[PredictionRequest, _Scored] = Gatherer(self.score, scoring)
        self._logging: Gatherer[Sequence[LogEntry], list[LogReceipt]] = Gatherer(self._append, logging)

    async def answer(self, request: PredictionRequest) -> LoggedAnswer:
        """Check, score and log; when this returns the answer is on disk.

        Raises
        ------
        RequestRefused
            With everything that is wrong with the request.
        NotServed
            Nothing answers for the cohort now.
        LogUnavailable, LogDamaged
            The answer cannot be logged, so there is none.
        """
        scored = await self._scoring.ask(request)
        receipts = await self._logging.ask(self.entries(request, scored))
        return _answer(scored, receipts)

    def score(self, requests: Sequence[PredictionRequest]) -> list[_Scored | Exception]:
        """Check and score several requests by the same champion; a request's error is its own."""
        served = self.keeper.current(self.spec.name)
        checked = self._checker.check([each.records for each in requests])
        for request, each in zip(requests, checked.requests, strict=True):
            known = {finding.pointer for finding in request.findings}
            each.findings[:] = [*request.findings, *(one for one in each.findings if one.pointer not in known)]
        results: list[_Scored | Exception | None] = [
            RequestRefused(each.findings) if each.findings else None for each in checked.requests
        ]
        for wave in _waves(checked.requests):
            for number, result in self._score_wave(served, checked, wave):
                results[number] = result
        return [each for each in results if each is not None]

    def entries(self, request: PredictionRequest, scored: _Scored) -> list[LogEntry]:
        """What the log says of an answer: no identifier, but names that only the holder of the keys can make."""
        latency_ms = round(1000 * (time.perf_counter() - request.received), 3)
        threshold = scored.served.bundle.description.threshold
        return [
            LogEntry(
                PREDICTION,
                request.request,
                request.key,
                scored.served.bundle.digest,
                {
                    "asked": request.asked,
                    "position": position,
                    "unit": self.names.unit(key),
                    "subject": self.names.subject(subject),
                    "features": dict(score.features),
                    "groups": dict(score.groups),
                    "risk": score.risk,
                    "log_odds": score.reasons.log_odds,
                    "class": score.predicted,
                    "is_alert": score.is_alert,
                    "tier": score.tier,
                    "threshold": threshold,
                    "arm": None,
                    "warnings": [f"{each.code}:{each.field}" for each in warnings],
                    "latency_ms": latency_ms,
                },
            )
            for position, (key, subject, score, warnings) in enumerate(_units(scored))
        ]

    def _score_wave(
        self, served: ServedCohort, checked: CheckedRecords, wave: Sequence[int]
    ) -> list[tuple[int, _Scored | Exception]]:
        try:
            found = served.scorer.score(checked.of(wave))
        except (duckdb.Error, BundleError):
            if len(wave) > 1:
                # One request must not spoil the answers of others.
                return [pair for number in wave for pair in self._score_wave(served, checked, [number])]
            cure = "Compare the values with the description of the cohort; a feature of them cannot be computed."
            finding = RequestFinding("/records", "features", "the features of a record cannot be made", cure)
            return [(wave[0], RequestRefused([finding]))]
        results: list[tuple[int, _Scored | Exception]] = []
        for number in wave:
            request = checked.requests[number]
            absent = [place for place, key in enumerate(request.keys) if key not in found]
            if absent:
                cure = "The features of this cohort leave such a record out; see its description."
                refused = [RequestFinding(f"/records/{p}", "features", "is no prediction unit", cure) for p in absent]
                results.append((number, RequestRefused(refused)))
            else:
                results.append((number, _Scored(served, request, tuple(found[key] for key in request.keys))))
        return results

    def _append(self, batches: Sequence[Sequence[LogEntry]]) -> list[list[LogReceipt] | Exception]:
        receipts = iter(self.log.append([entry for batch in batches for entry in batch]))
        return [[next(receipts) for _ in batch] for batch in batches]


def _waves(requests: Sequence[CheckedRequest]) -> list[list[int]]:
    """Requests that can be scored together: no two of a wave speak of the same subject or unit."""
    waves: list[tuple[set[Any], list[int]]] = []
    for number, request in enumerate(requests):
        if request.findings:
            continue
        mine = {("subject", each) for each in request.subjects} | {("key", each) for each in request.keys}
        for taken, members in waves:
            if not taken & mine:
                taken.update(mine)
                members.append(number)
                break
        else:
            waves.append((mine, [number]))
    return [members for _, members in waves]


def _units(scored: _Scored) -> list[tuple[Any, Any, UnitScore, tuple[RecordWarning, ...]]]:
    checked = scored.checked
    return [
        (key, subject, score, (*warnings, *score.warnings))
        for key, subject, score, warnings in zip(
            checked.keys, checked.subjects, scored.scores, checked.warnings, strict=True
        )
    ]


def _answer(scored: _Scored, receipts: Sequence[LogReceipt]) -> LoggedAnswer:
    units = tuple(
        UnitAnswer(score, warnings, receipt)
        for (_, _, score, warnings), receipt in zip(_units(scored), receipts, strict=True)
    )
    return LoggedAnswer(scored.served, units)
