"""A draft of a protocol, filled with what is known: digests, threshold, and the planned size from the champion's card.

What belongs here: the draft's numbers. What does not: its file (``protocol_files``). A person reviews every one.
"""

from __future__ import annotations

from typing import Any

from clinical_assets.experiments.planning.checklist import ITEMS
from clinical_assets.experiments.planning.protocol import ExperimentProtocol, TrialPlan
from clinical_assets.experiments.planning.protocol_files import groups_of
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.governance.errors import Refused
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.workspace import CohortHandle

#: Part of what a perfect model would gain that a draft plans for.
_PART_OF_PERFECT = 0.25
_RAMP = ({"share": 0.0, "units": 100}, {"share": 0.05, "units": 100}, {"share": 0.5, "units": 1})
_BY_PERSON = ("spirit-ai/24", "decide-ai/III", "decide-ai/XV")


def draft_protocol(cohort: CohortHandle, name: str, *, challenger: str | None = None) -> dict[str, Any]:
    """A protocol of the newest model, or of the one with a digest, against what serves, as plain values.

    Raises
    ------
    Refused
        ``other_champion``: nothing serves, or the challenger serves already.
    NoTraining
        There is no such model.
    """
    serving = champion_pointer.current(cohort.settings, cohort.name)
    candidate = candidate_of(cohort, digest=challenger)
    if serving is None or serving.digest == candidate.digest:
        raise Refused(
            "other_champion",
            f"{cohort.name}: {'nothing serves' if serving is None else 'the newest model serves already'}.",
            cure="Promote a first model, or train a challenger.",
        )
    spec = cohort.spec
    threshold = spec.decisions.costs.threshold
    plan = _plan(cohort.training(serving.digest).results, threshold)
    content: dict[str, Any] = {
        "name": name,
        "cohort": cohort.name,
        "title": f"TODO: {spec.title}: the newest model against the one that serves",
        "hypothesis": "TODO: why the challenger should do better, and for whom.",
        "champion": serving.digest,
        "challenger": candidate.digest,
        "unit": {"of": "patient"},
        "ramp": [dict(stage) for stage in _RAMP],
        "outcome": {"description": spec.target.description, "horizon_days": float(spec.prediction.horizon_days or 0)},
        "benefit": {"threshold": round(threshold, 6), "promote_above": 0.0, "roll_back_below": 0.0},
        "plan": plan,
        "guardrails": [
            {"kind": "errors", "limit": 0.01},
            {"kind": "latency", "limit": 0.05, "above_ms": 500.0},
            {"kind": "missed_events", "limit": round(min(0.95, 1.15 - plan["sensitivity"]), 2)},
            *(
                {
                    "kind": "subgroup_missed_events",
                    "limit": round(min(0.97, 1.25 - plan["sensitivity"]), 2),
                    "attribute": attribute,
                }
                for attribute in spec.protected
                if len(groups_of(spec, attribute)) > 1
            ),
        ],
        "decides": [{"role": each.role, "count": each.count} for each in spec.approval.signatures],
        "items": {key: "TODO" for key in _BY_PERSON if key in ITEMS},
    }
    sized = ExperimentProtocol.model_validate({**content, "plan": {**plan, "units": 10_000_000}}).size()
    content["plan"] = {**plan, "units": sized.n}
    return content


def _plan(results: TrainingResults, threshold: float) -> dict[str, Any]:
    """What the champion does at its threshold, on its holdout."""
    near = [each for each in results.rates if each.sensitivity is not None and each.specificity is not None]
    if not near or not results.holdout.events:
        raise Refused(
            "no_rates",
            f"The training of the champion of {results.cohort} kept no sensitivity at its threshold.",
            cure="Train and release it again; the size of an experiment cannot be planned without.",
        )
    chosen = min(near, key=lambda each: abs(float(each.threshold) - threshold))
    assert chosen.sensitivity is not None
    assert chosen.specificity is not None
    prevalence = results.holdout.events / results.holdout.n
    sensitivity = min(0.98, max(0.02, float(chosen.sensitivity.value or 0.0)))
    plan = {
        "effect": 0.5,
        "prevalence": round(prevalence, 4),
        "sensitivity": round(sensitivity, 4),
        "false_positive_rate": round(1 - float(chosen.specificity.value or 0.0), 4),
        "alpha": 0.05,
        "power": 0.8,
        "longest_days": 365,
    }
    perfect = TrialPlan.model_validate({**plan, "units": 2}).attainable(threshold / (1 - threshold))
    return {**plan, "effect": round(_PART_OF_PERFECT * perfect, 4)}
