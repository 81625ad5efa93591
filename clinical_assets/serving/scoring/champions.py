"""Which champion answers for each cohort, verified as for a batch, kept warm, swapped when it changes.

What belongs here: loading, verifying again, the reason why a cohort cannot answer. What does not: whether a model may
serve (``governance.promotion``).

A request takes the served cohort once and keeps it: a swap replaces the reference, so that an answer is of the old
champion or of the new one, never of both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.records.errors import RecordsError
from clinical_assets.serving.scoring.champion_scorer import ChampionScorer
from clinical_assets.serving.scoring.labels import feature_labels
from clinical_assets.serving.scoring.watch import Watch
from clinical_assets.workspace import Workspace

#: Seconds between two looks at the pointers, and between two verifications of a champion that did not change.
LOOK_S, VERIFY_S = 0.25, 60.0
_log = logging.getLogger(__name__)


class NotServed(ClinicalAssetsError):
    """A cohort that cannot answer now."""


def cohorts_with_a_champion(settings: Settings) -> tuple[str, ...]:
    """Cohorts of which a pointer names a champion, verified or not."""
    return tuple(sorted(path.parent.name for path in settings.serving.glob(f"*/{champion_pointer.POINTER}")))


@dataclass(frozen=True)
class ServedCohort:
    """A champion that answers.

    Attributes
    ----------
    champion : Champion
        The pointer that was verified.
    bundle : Bundle
        Its bundle.
    scorer : ChampionScorer
        Warm.
    """

    champion: Champion
    bundle: Bundle
    scorer: ChampionScorer


@dataclass
class _State:
    stamp: tuple[int, int] | None = None
    served: ServedCohort | None = None
    problem: str = "It was not looked at yet."
    verified: float = field(default=-1e9)


class ChampionKeeper:
    """Champions of an installation; threads may ask at the same time.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    verify_s : float
        Seconds after which a champion is verified again although its pointer did not change.
    """

    def __init__(self, workspace: Workspace, *, verify_s: float = VERIFY_S) -> None:
        self.workspace = workspace
        self._verify_s = verify_s
        self._states: dict[str, _State] = {}
        self._loading = threading.Lock()
        self._watch = Watch(self.look, name="champions", every_s=LOOK_S)

    def cohorts(self) -> tuple[str, ...]:
        """Cohorts that have, or had, a champion here."""
        return tuple(sorted({*cohorts_with_a_champion(self.workspace.settings), *self._states}))

    def problems(self) -> Mapping[str, str]:
        """Cohorts that cannot answer, and why."""
        return {name: state.problem for name, state in sorted(self._states.items()) if state.served is None}

    def current(self, cohort: str) -> ServedCohort:
        """What answers for a cohort.

        Raises
        ------
        NotServed
            Nothing does; says why.
        """
        state = self._states.get(cohort)
        if state is None:
            raise NotServed(f"{cohort} has no champion.", cure=f"Promote a model: clinical-assets promote {cohort}")
        served = state.served
        if served is None:
            raise NotServed(f"{cohort} cannot answer: {state.problem}", cure="See /ready; mend it, and ask again.")
        return served

    def look(self) -> None:
        """Load what changed and verify what is due; a cohort that cannot be loaded says why, the others go on."""
        with self._loading:
            for cohort in self.cohorts():
                state = self._states.setdefault(cohort, _State())
                stamp = self._stamp(cohort)
                if stamp == state.stamp and time.monotonic() - state.verified < self._verify_s:
                    continue
                self._load(cohort, state, stamp)

    def start(self) -> None:
        """Look now, and again until `stop`."""
        self._watch.start()

    def stop(self) -> None:
        """End looking."""
        self._watch.stop()

    def _load(self, cohort: str, state: _State, stamp: tuple[int, int] | None) -> None:
        try:
            found = promotion.serving(self.workspace.settings, cohort)
            if found is None:
                state.served, state.problem = None, promotion.why_nothing_serves(self.workspace.settings, cohort)
            else:
                state.served = self._warmed(cohort, *found, before=state.served)
        except RecordsError as error:
            # The records do not answer: what was verified before goes on, what was not does not begin.
            state.problem = error.message
            _log.warning("%s: its champion cannot be verified now: %s", cohort, error.message)
        except (ClinicalAssetsError, OSError) as error:
            state.served = None
            state.problem = error.message if isinstance(error, ClinicalAssetsError) else str(error.strerror)
            _log.error("%s cannot answer: %s", cohort, state.problem)
        state.stamp, state.verified = stamp, time.monotonic()

    def _warmed(self, cohort: str, champion: Champion, bundle: Bundle, *, before: ServedCohort | None) -> ServedCohort:
        if before is not None and before.champion == champion:
            return before
        handle = self.workspace.cohort(cohort)
        scorer = ChampionScorer(
            handle.spec,
            bundle,
            labels=feature_labels(handle.sql, bundle.feature_columns),
            unjudged=self._unjudged(bundle),
        )
        _log.info("%s is answered by %s.", cohort, bundle.digest)
        return ServedCohort(champion, bundle, scorer)

    def _unjudged(self, bundle: Bundle) -> tuple[str, ...]:
        """Groups of which the bias gate said ``insufficient``."""
        run = latest_verdicts(self.workspace.records, bundle_digest=bundle.digest).get("bias")
        if run is None:
            return ()
        named = [each.criterion for each in run.verdicts if each.verdict == "insufficient" and "[" in each.criterion]
        return tuple(dict.fromkeys(each.partition("[")[2].removesuffix("]") for each in named))

    def _stamp(self, cohort: str) -> tuple[int, int] | None:
        path = champion_pointer.serving_folder(self.workspace.settings, cohort) / champion_pointer.POINTER
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
