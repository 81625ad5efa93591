"""From records to logged answers for one cohort: checked, scored together, on disk, and only then given.

What belongs here: the order of these steps and what the log says of an answer. What does not: each step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.prediction_log.lines import PREDICTION, LogEntry
from clinical_assets.records.prediction_log.writer import LogReceipt, PredictionLog
from clinical_assets.serving.requests.findings import RecordWarning, RequestFinding, RequestRefused
from clinical_assets.serving.requests.record_checks import CheckedRecords, CheckedRequest, Record, RecordChecker
from clinical_assets.serving.requests.record_models import request_spec
from clinical_assets.serving.scoring.champion_scorer import UnitScore
from clinical_assets.serving.scoring.champions import ChampionKeeper, ServedCohort
from clinical_assets.serving.scoring.gathering import Gatherer
from clinical_assets.serving.scoring.trials.arms import TrialPart, shadow_entry
from clinical_assets.serving.scoring.trials.live_trials import TrialKeeper
from clinical_assets.serving.scoring.trials.trial_scoring import TrialScoring


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
    """What is said of one record: its score, warnings, the line of the log that holds both, and the model that said it.

    ``part`` is that of the record in an experiment.
    """

    score: UnitScore
    warnings: tuple[RecordWarning, ...]
    receipt: LogReceipt
    bundle: Bundle
    part: TrialPart | None = None


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer that is on disk: by the champion, in an experiment also by the challenger."""

    served: ServedCohort
    units: tuple[UnitAnswer, ...]


@dataclass(frozen=True)
class _Scored:
    served: ServedCohort
    checked: CheckedRequest
    scores: tuple[UnitScore, ...]
    parts: tuple[TrialPart | None, ...]

    def bundle(self, place: int) -> Bundle:
        """What answered a record."""
        part = self.parts[place]
        return self.served.bundle if part is None or part.bundle is None else part.bundle


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
    trials : TrialKeeper, optional
        Knows which experiment goes on.
    """

    def __init__(
        self,
        spec: CohortSpec,
        keeper: ChampionKeeper,
        *,
        scoring: Executor,
        logging: Executor,
        trials: TrialKeeper | None = None,
    ) -> None:
        settings = keeper.workspace.settings
        self.spec, self.keeper = spec, keeper
        self.log = PredictionLog(settings, spec.name)
        self.names = SubjectNames(settings, spec.name)
        self._trials = TrialScoring(spec.name, trials, log=self.log, names=self.names)
        self._checker = RecordChecker(request_spec(spec), is_erased=self.names.is_erased)
        self._scoring: Gatherer[PredictionRequest, _Scored] = Gatherer(self.score, scoring)
        self._logging: Gatherer[Sequence[LogEntry], list[LogReceipt]] = Gatherer(self._append, logging)

    def shadows_done(self) -> None:
        """Wait until every score that nobody waited for is logged."""
        self._trials.shadows.done()

    def close(self) -> None:
        """Log the scores that nobody waited for, and close the log."""
        self._trials.shadows.stop()
        self.log.close()

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
            for number, result in self._score_wave(served, checked, wave, requests):
                results[number] = result
        return [each for each in results if each is not None]

    def entries(self, request: PredictionRequest, scored: _Scored) -> list[LogEntry]:
        """What the log says of an answer: no identifier, but names that only the holder of the keys can make."""
        latency_ms = round(1000 * (time.perf_counter() - request.received), 3)
        entries, others = [], []
        for position, (key, subject, score, warnings) in enumerate(_units(scored)):
            bundle, part = scored.bundle(position), scored.parts[position]
            record, person = self.names.unit(key), self.names.subject(subject)
            entries.append(
                LogEntry(
                    PREDICTION,
                    request.request,
                    request.key,
                    bundle.digest,
                    {
                        "asked": request.asked,
                        "position": position,
                        "unit": record,
                        "subject": person,
                        "features": dict(score.features),
                        "groups": dict(score.groups),
                        "risk": score.risk,
                        "interval": None if score.interval is None else asdict(score.interval),
                        "log_odds": score.reasons.log_odds,
                        "class": score.predicted,
                        "is_alert": score.is_alert,
                        "tier": score.tier,
                        "threshold": bundle.description.threshold,
                        "arm": None if part is None else part.arm,
                        **({} if part is None else {"experiment": part.content()}),
                        "warnings": [f"{each.code}:{each.field}" for each in warnings],
                        "latency_ms": latency_ms,
                    },
                )
            )
            if part is not None and part.other is not None:
                others.append(
                    shadow_entry(
                        part,
                        part.other,
                        bundle=scored.served.bundle,
                        request=request.request,
                        key=request.key,
                        position=position,
                        record=record,
                        subject=person,
                    )
                )
        return entries + others

    def _score_wave(
        self,
        served: ServedCohort,
        checked: CheckedRecords,
        wave: Sequence[int],
        requests: Sequence[PredictionRequest],
    ) -> list[tuple[int, _Scored | Exception]]:
        tables = checked.of(wave)
        try:
            found = served.scorer.score(tables)
        except (duckdb.Error, BundleError):
            if len(wave) > 1:
                # One request must not spoil the answers of others.
                return [pair for number in wave for pair in self._score_wave(served, checked, [number], requests)]
            cure = "Compare the values with the description of the cohort; a feature of them cannot be computed."
            finding = RequestFinding("/records", "features", "the features of a record cannot be made", cure)
            return [(wave[0], RequestRefused([finding]))]
        results: list[tuple[int, _Scored | Exception]] = []
        asked: dict[int, tuple[str, str]] = {}
        for number in wave:
            absent = [place for place, key in enumerate(checked.requests[number].keys) if key not in found]
            if absent:
                cure = "The features of this cohort leave such a record out; see its description."
                refused = [RequestFinding(f"/records/{p}", "features", "is no prediction unit", cure) for p in absent]
                results.append((number, RequestRefused(refused)))
            else:
                asked[number] = (requests[number].request, requests[number].key)
        for number, answers in self._trials.scored(served.bundle, checked, tables, found, asked).items():
            scores, parts = zip(*answers, strict=True)
            results.append((number, _Scored(served, checked.requests[number], scores, parts)))
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
    # Behind the lines of the answers stand those of scores that were not answered.
    units = tuple(
        UnitAnswer(score, warnings, receipt, scored.bundle(place), scored.parts[place])
        for place, ((_, _, score, warnings), receipt) in enumerate(zip(_units(scored), receipts, strict=False))
    )
    return LoggedAnswer(scored.served, units)
