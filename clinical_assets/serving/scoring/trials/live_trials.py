"""Which experiment goes on for each cohort, its challenger verified and warm; looked at again as the records change.

What belongs here: loading, verifying again, letting go. What does not: whether a challenger may take part
(``experiments.permission``).

A challenger that cannot be verified takes no part from then on, and everybody is answered by the champion: an
experiment must not cost an answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clinical_assets.experiments.permission import challenger_bundle
from clinical_assets.experiments.register import Experiment, running_experiment
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.records.errors import RecordsError
from clinical_assets.serving.scoring.champion_scorer import ChampionScorer
from clinical_assets.serving.scoring.labels import feature_labels
from clinical_assets.serving.scoring.watch import Watch
from clinical_assets.workspace import Workspace

#: Seconds between two looks at the records, and between two verifications of a challenger.
LOOK_S, VERIFY_S = 1.0, 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveTrial:
    """An experiment that goes on, with its challenger.

    Attributes
    ----------
    experiment : Experiment
        As the records have it.
    bundle : Bundle
        The challenger.
    scorer : ChampionScorer
        Warm.
    """

    experiment: Experiment
    bundle: Bundle
    scorer: ChampionScorer


class TrialKeeper:
    """Experiments of an installation; threads may ask at the same time.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    cohorts : callable
        Cohorts that have a champion.
    """

    def __init__(self, workspace: Workspace, *, cohorts: Callable[[], Sequence[str]]) -> None:
        self.workspace, self._cohorts = workspace, cohorts
        self._trials: dict[str, LiveTrial] = {}
        self._problems: dict[str, str] = {}
        self._seen: tuple[int, tuple[str, ...]] | None = None
        self._verified = -1e9
        self._watch = Watch(self.look, name="experiments", every_s=LOOK_S)

    def current(self, cohort: str) -> LiveTrial | None:
        """What goes on for a cohort."""
        return self._trials.get(cohort)

    def problems(self) -> Mapping[str, str]:
        """Cohorts whose experiment takes no part although it goes on, and why."""
        return dict(self._problems)

    def look(self) -> None:
        """Load what changed in the records, and verify what is due."""
        try:
            if not self.workspace.records.exists:
                return
            newest = self.workspace.ledger.newest(1)
            seen = (newest[0].seq if newest else 0, tuple(self._cohorts()))
            if seen == self._seen and time.monotonic() - self._verified < VERIFY_S:
                return
            for cohort in seen[1]:
                self._load(cohort)
        except RecordsError as error:
            # What was verified before goes on until the records answer again.
            _log.warning("Experiments cannot be looked at now: %s", error.message)
            return
        self._seen, self._verified = seen, time.monotonic()

    def start(self) -> None:
        """Look now, and again until `stop`."""
        self._watch.start()

    def stop(self) -> None:
        """End looking."""
        self._watch.stop()

    def _load(self, cohort: str) -> None:
        try:
            running = running_experiment(self.workspace.records, cohort)
            if running is None:
                if self._trials.pop(cohort, None) is not None:
                    _log.info("%s: its experiment has ended; the champion answers everybody.", cohort)
                self._problems.pop(cohort, None)
                return
            handle = self.workspace.cohort(cohort)
            bundle = challenger_bundle(handle, running)
            before = self._trials.get(cohort)
            if before is not None and before.bundle.digest == bundle.digest:
                scorer = before.scorer
            else:
                labels = feature_labels(handle.sql, bundle.feature_columns)
                scorer = ChampionScorer(handle.spec, bundle, labels=labels)
            if before is None or before.experiment != running:
                _log.info("%s: experiment %s, share %g.", cohort, running.protocol.name, running.share)
            self._trials[cohort] = LiveTrial(running, bundle, scorer)
            self._problems.pop(cohort, None)
        except RecordsError:
            raise
        except (ClinicalAssetsError, OSError) as error:
            self._trials.pop(cohort, None)
            words = error.message if isinstance(error, ClinicalAssetsError) else str(error.strerror)
            if self._problems.get(cohort) != words:
                _log.error("%s: its experiment takes no part: %s", cohort, words)
            self._problems[cohort] = words
