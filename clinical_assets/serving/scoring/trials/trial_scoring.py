"""The answers of a wave as an experiment has them: the challenger's for its arm, and the other score for everybody.

What belongs here: putting both together for one cohort. What does not: which experiment goes on (``live_trials``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clinical_assets.experiments.assignment import CHALLENGER_ARM
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.record_scoring import TableRows
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.prediction_log.writer import PredictionLog
from clinical_assets.serving.requests.record_checks import CheckedRecords
from clinical_assets.serving.scoring.champion_scorer import UnitScore
from clinical_assets.serving.scoring.trials.arms import TrialPart, assigned_parts, challenger_scores, is_treated
from clinical_assets.serving.scoring.trials.live_trials import TrialKeeper
from clinical_assets.serving.scoring.trials.shadowing import ShadowRecord, ShadowScoring, ShadowWave

#: A record's score as it is answered, and its part in an experiment.
ScoredPart = tuple[UnitScore, TrialPart | None]


class TrialScoring:
    """Experiments of one cohort, while its records are scored.

    Parameters
    ----------
    cohort : str
        Name of the cohort.
    keeper : TrialKeeper or None
        Knows what goes on; None where there are no experiments.
    log : PredictionLog
        Of the cohort.
    names : SubjectNames
        Of its subjects.
    """

    def __init__(self, cohort: str, keeper: TrialKeeper | None, *, log: PredictionLog, names: SubjectNames) -> None:
        self._cohort, self._keeper, self._names = cohort, keeper, names
        self.shadows = ShadowScoring(log)

    def scored(
        self,
        champion: Bundle,
        checked: CheckedRecords,
        tables: Mapping[str, TableRows],
        found: Mapping[tuple[Any, ...], UnitScore],
        asked: Mapping[int, tuple[str, str]],
    ) -> dict[int, list[ScoredPart]]:
        """What is answered to each request of a wave.

        Parameters
        ----------
        champion : Bundle
            That scored the wave.
        checked : CheckedRecords
            The records.
        tables : mapping
            Those of the wave.
        found : mapping
            Key to the champion's score; all records of the requests are in it.
        asked : mapping
            Number of a request among the checked ones to its id and the id of the caller's key.
        """
        trial = None if self._keeper is None else self._keeper.current(self._cohort)
        if trial is None or trial.experiment.protocol.champion != champion.digest:
            return {number: [(found[key], None) for key in checked.requests[number].keys] for number in asked}
        parts = {
            number: assigned_parts(trial, checked, number, caller=caller, names=self._names)
            for number, (_, caller) in asked.items()
        }
        # Where somebody is answered by the challenger, the wave waits for both; else only for the champion.
        treated = any(is_treated(each) for each in parts.values())
        by_challenger = (challenger_scores(trial, tables) or {}) if treated else {}
        answers: dict[int, list[ScoredPart]] = {}
        later: list[ShadowRecord] = []
        for number, (request, caller) in asked.items():
            keys, subjects = checked.requests[number].keys, checked.requests[number].subjects
            answers[number] = []
            for position, (key, subject, part) in enumerate(zip(keys, subjects, parts[number], strict=True)):
                if part.arm != CHALLENGER_ARM:
                    answers[number].append((found[key], part))
                    record, person = self._names.unit(key), self._names.subject(subject)
                    later.append(ShadowRecord(key, part, request, caller, position, record, person))
                elif key in by_challenger:
                    answered = replace(part, bundle=trial.bundle, other=found[key])
                    answers[number].append((by_challenger[key], answered))
                else:
                    answers[number].append((found[key], replace(part, failed=True)))
        if later:
            self.shadows.later(ShadowWave(trial, tables, later))
        return answers
