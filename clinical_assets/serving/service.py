"""The cohorts of an installation as something that can be asked: made when first needed, closed together.

What belongs here: finding the parts of a cohort that answer. What does not: HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.modelling.trainings.card_files import CARD_MARKDOWN
from clinical_assets.modelling.trainings.trainings import NoTraining
from clinical_assets.records.prediction_log.verification import enter_head
from clinical_assets.serving.follow_up import ActionsBody, FollowUp, OutcomesBody
from clinical_assets.serving.predictions import CohortPredictions
from clinical_assets.serving.requests.record_models import predict_model, request_spec
from clinical_assets.serving.scoring.champions import ChampionKeeper
from clinical_assets.serving.scoring.trials.live_trials import TrialKeeper
from clinical_assets.serving.statistics import ServingStatistics
from clinical_assets.workspace import Workspace

#: Seconds for which what a disk said stays true for ``/ready``.
_PROBED_S = 2.0
#: Seconds between two entries of a log's head in the ledger.
ANCHOR_S = 600.0
ACTOR = "automation:prediction-api"
_log = logging.getLogger(__name__)


class UnknownCohort(ClinicalAssetsError):
    """A name that no description has."""


@dataclass(frozen=True)
class CohortService:
    """One cohort that answers."""

    spec: CohortSpec
    model: type[BaseModel]
    predictions: CohortPredictions
    follow_up: FollowUp
    one_at_a_time: asyncio.Lock


class PredictionService:
    """All cohorts of an installation.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.keeper = ChampionKeeper(workspace)
        self.trials = TrialKeeper(workspace, cohorts=self.keeper.cohorts)
        self.statistics = ServingStatistics()
        # Two steps, each with a thread: one batch is flushed while the next is scored. More threads would only fight
        # for the interpreter.
        self._scoring = ThreadPoolExecutor(2, thread_name_prefix="scoring")
        self._logging = ThreadPoolExecutor(4, thread_name_prefix="logging")
        self._services: dict[str, CohortService] = {}
        self._probed: tuple[float, dict[str, str]] = (-1e9, {})
        self._heads: dict[str, int] = {}
        self._ending = threading.Event()
        self._anchoring = threading.Thread(target=self._anchor_now_and_then, name="anchoring", daemon=True)

    def start(self) -> None:
        """Load every champion and make its cohort ready to answer."""
        self.keeper.start()
        self.trials.start()
        for cohort in self.keeper.cohorts():
            if cohort not in self.keeper.problems():
                self.cohort(cohort)
        self._anchoring.start()

    def stop(self) -> None:
        """Let what runs end, then close files and threads."""
        self.keeper.stop()
        self.trials.stop()
        self._scoring.shutdown()
        self._logging.shutdown()
        self._ending.set()
        self._anchoring.join()
        for service in self._services.values():
            service.predictions.close()

    def _anchor_now_and_then(self) -> None:
        """Enter the heads of the logs into the ledger: at the beginning, now and then, and at the end."""
        while True:
            self._anchor()
            if self._ending.wait(ANCHOR_S):
                self._anchor()
                return

    def _anchor(self) -> None:
        for cohort, service in list(self._services.items()):
            try:
                seq, digest = service.predictions.log.probe()
                if seq and self._heads.get(cohort) != seq:
                    enter_head(self.workspace.ledger, cohort, seq=seq, digest=digest, actor=ACTOR)
                    self._heads[cohort] = seq
            except ClinicalAssetsError as error:
                _log.warning("The head of the prediction log of %s was not entered: %s", cohort, error.message)

    def described(self) -> tuple[str, ...]:
        """Names of all cohorts that are described."""
        return tuple(self.workspace.catalogue.names())

    def cohort(self, name: str) -> CohortService:
        """What answers for a cohort.

        Raises
        ------
        UnknownCohort
            No description has this name.
        """
        service = self._services.get(name)
        if service is None:
            if name not in self.described():
                raise UnknownCohort("No cohort has this name.", cure="GET /v1/cohorts lists the names.")
            spec = self.workspace.spec(name)
            service = self._services[name] = CohortService(
                spec=spec,
                model=predict_model(request_spec(spec)),
                predictions=CohortPredictions(
                    spec, self.keeper, scoring=self._scoring, logging=self._logging, trials=self.trials
                ),
                follow_up=FollowUp(spec, self.workspace.settings),
                one_at_a_time=asyncio.Lock(),
            )
        return service

    async def record(self, name: str, body: OutcomesBody | ActionsBody, *, request: str, key: str) -> tuple[int, int]:
        """Log outcomes or actions: how many were new, and how many known; errors as those of `FollowUp`."""
        service = self.cohort(name)
        # No more than one thread waits for its turn.
        async with service.one_at_a_time:
            return await asyncio.to_thread(self._recorded, service, body, request, key)

    @staticmethod
    def _recorded(service: CohortService, body: OutcomesBody | ActionsBody, request: str, key: str) -> tuple[int, int]:
        # One process at a time, so that the same fact sent twice at once is recorded once.
        with service.predictions.log.turn():
            if isinstance(body, OutcomesBody):
                entries, known = service.follow_up.outcomes(body, request=request, key=key)
            else:
                entries, known = service.follow_up.actions(body, request=request, key=key)
            if entries:
                service.predictions.log.append(entries)
        return len(entries), known

    def problems(self) -> Mapping[str, str]:
        """Cohorts that cannot answer now, and why: no verified champion, or no log. Asks the disk; takes a lock."""
        moment, found = self._probed
        if time.monotonic() - moment > _PROBED_S:
            found = {}
            for cohort, service in list(self._services.items()):
                try:
                    service.predictions.log.probe()
                except ClinicalAssetsError as error:
                    found[cohort] = error.message
            self._probed = (time.monotonic(), found)
        return {**found, **self.keeper.problems()}

    def about(self, name: str) -> dict[str, Any]:
        """The model that answers for a cohort, and who approved it when; errors as `ChampionKeeper.current`."""
        spec = self.cohort(name).spec
        served = self.keeper.current(name)
        champion, description = served.champion, served.bundle.description
        signatures, _ = true_signatures(self.workspace.records, bundle_digest=served.bundle.digest)
        return {
            "cohort": name,
            "title": spec.title,
            "intended_use": spec.intended_use,
            "not_for": spec.not_for,
            "synthetic": description.synthetic,
            "digest": served.bundle.digest,
            "kind": description.candidate,
            "promotion": champion.promotion,
            "since": champion.since,
            "promoted_by": champion.by,
            "signatures": [
                {
                    "kind": each.kind,
                    "printed_name": each.printed_name,
                    "role": each.role,
                    "meaning": each.meaning,
                    "signed_at": each.signed_at,
                }
                for each in signatures
            ],
            "classes": list(description.classes),
            "threshold": description.threshold,
            "tiers": [{"name": t.name, "lower": t.lower, "action": t.action} for t in description.tiers],
            "features": list(served.bundle.feature_columns),
            "card": self._card(name, served.bundle.digest),
        }

    def _card(self, name: str, digest: str) -> str | None:
        """The model card as it was written, or None where the model was trained elsewhere."""
        try:
            training = self.workspace.cohort(name).training(digest)
        except NoTraining:
            return None
        path: Path = training.folder / "report" / CARD_MARKDOWN
        return path.read_text(encoding="utf-8") if path.exists() else None
