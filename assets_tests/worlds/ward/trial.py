"""A trial on a released ward: the first model serves, the second is its challenger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assets_tests.worlds.ward.released import Releasable, proof
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.experiments.assignment import TrialArm, arm_of
from clinical_assets.experiments.decisions import raise_share, sign_protocol
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.register import Experiment, running_experiment
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records.prediction_log.lines import OUTCOME, PREDICTION, SHADOW, LogEntry
from clinical_assets.records.prediction_log.writer import PredictionLog
from clinical_assets.workspace import CohortHandle, Workspace

PLAN = {
    "effect": 0.1,
    "prevalence": 0.3,
    "sensitivity": 0.6,
    "false_positive_rate": 0.3,
    "units": 4000,
    "longest_days": 365,
}


def protocol_of(champion: str, challenger: str, **changes: Any) -> dict[str, Any]:
    """A right protocol as plain values; live at once at one half."""
    return {
        "name": "second_model",
        "cohort": COHORT,
        "title": "The second model against the first",
        "hypothesis": "It finds more of those who die.",
        "champion": champion,
        "challenger": challenger,
        "ramp": [{"share": 0}, {"share": 0.5}],
        "outcome": {"description": "Death in hospital.", "horizon_days": 0},
        "benefit": {"threshold": 0.2},
        "plan": PLAN,
        "guardrails": [{"kind": "errors", "limit": 0.01}, {"kind": "missed_events", "limit": 0.6}],
        "decides": [{"role": "reviewer", "count": 1}],
        **changes,
    }


@dataclass(frozen=True)
class WardTrial:
    """A released ward with a protocol."""

    made: Releasable
    protocol: ExperimentProtocol

    @property
    def cohort(self) -> CohortHandle:
        """The ward."""
        return Workspace(self.made.settings, self.made.trained.catalogue).cohort(COHORT)

    @property
    def running(self) -> Experiment:
        """What goes on."""
        found = running_experiment(self.made.records, COHORT)
        assert found is not None
        return found

    def begin(self, login: str = "bob") -> Experiment:
        """Sign, which begins the silent stage."""
        return sign_protocol(self.cohort, self.protocol, proof=proof(login))

    def expose(self, share: float = 0.5, *, seen: int = 10_000) -> Experiment:
        """Raise the share."""
        return raise_share(self.cohort, proof=proof("bob"), share=share, seen=lambda _: seen, meaning="Go on.")

    def answer(self, n: int, *, found: dict[TrialArm, float], seed: int = 0) -> None:
        """Log answers to patients of whom three in ten die, and what became of them; each arm finds a part of these."""
        rng = np.random.default_rng(seed)
        running, log, entries = self.running, PredictionLog(self.made.settings, COHORT), []
        digest, share = self.protocol.digest, running.share
        for number in range(n):
            name = f"s1_{seed}_{number}"
            arm = arm_of(name, salt=str(running.salt), share=share)
            event, chance = bool(rng.random() < 0.3), rng.random()
            alerts = {each: bool(chance < (part if event else 0.3)) for each, part in found.items()}
            other: TrialArm = "champion" if arm == "challenger" else "challenger"
            part = {"protocol": digest, "unit": name, "share": share, "failed": False}
            said = {"unit": f"u_{name}", "subject": name, "tier": "High", "risk": 0.5}
            answer = {"position": 0, "groups": {}, "latency_ms": 2.0, "arm": arm, "experiment": part}
            score = {"position": 0, "experiment": digest, "is_alert": alerts[other]}
            outcome = {"prediction": 1, "unit": f"u_{name}", "subject": name, "outcome": int(event)}
            named = f"r{seed}_{number}"
            entries += [
                LogEntry(PREDICTION, named, "local", digest, {**said, **answer, "is_alert": alerts[arm]}),
                LogEntry(SHADOW, named, "local", digest, {**said, **score}),
                LogEntry(OUTCOME, named, "local", digest, outcome),
            ]
        log.append(entries)
        log.close()


def ward_trial(made: Releasable, **changes: Any) -> WardTrial:
    """A trial of the newest model against the one that serves."""
    champion = champion_pointer.current(made.settings, COHORT)
    assert champion is not None
    content = protocol_of(champion.digest, made.candidate.digest, **changes)
    return WardTrial(made, ExperimentProtocol.model_validate(content))
