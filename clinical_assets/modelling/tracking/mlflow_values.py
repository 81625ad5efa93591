"""Parameters, measures and tags in MLflow's words, in as few requests as its limits allow."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.tracking.mlflow_store import RegistryError
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What one request may hold, all three together and each.
_A_BATCH, _PARAMETERS_A_BATCH, _TAGS_A_BATCH = 1000, 100, 100


@dataclass(frozen=True)
class Candidate:
    """What is kept of one candidate: a nested run.

    Attributes
    ----------
    name : str
        Candidate, unique in a training.
    parameters : mapping
        Its setting; nested mappings are flattened with dots.
    metrics : mapping of name to Estimate or number
        Nested cross-validation estimates.
    insufficient : mapping of name to reason
        Measures that could not be computed.
    tags : mapping
        Such as whether it was selected.
    """

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Estimate | float]
    insufficient: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, object] = field(default_factory=dict)


def write(
    store: MlflowClient,
    run_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Estimate | float] | None = None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Write into a run; see the methods of ``TrackedRun``."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    points = [Metric(name, value, now, 0) for name, value in _numbers(metrics or {})]
    settings = [Param(name, text(value)) for name, value in _flat(parameters or {})]
    said = [RunTag(name, text(value)) for name, value in (tags or {}).items()]
    while points or settings or said:
        # Metrics take what the others leave.
        some_settings, settings = settings[:_PARAMETERS_A_BATCH], settings[_PARAMETERS_A_BATCH:]
        some_said, said = said[:_TAGS_A_BATCH], said[_TAGS_A_BATCH:]
        room = _A_BATCH - len(some_settings) - len(some_said)
        some_points, points = points[:room], points[room:]
        store.log_batch(run_id, metrics=some_points, params=some_settings, tags=some_said)


def _numbers(metrics: Mapping[str, Estimate | float]) -> Iterator[tuple[str, float]]:
    for name, measure in metrics.items():
        value = measure.value if isinstance(measure, Estimate) else float(measure)
        if not math.isfinite(value):
            raise RegistryError(
                f"the metric {name} is {value}, which says nothing.",
                cure="Give it as insufficient, with the reason why it cannot be computed.",
            )
        yield name, value
        if isinstance(measure, Estimate):
            bounds = {f"{name}_ci_low": measure.ci_low, f"{name}_ci_high": measure.ci_high}
            yield from ((key, bound) for key, bound in bounds.items() if math.isfinite(bound))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def insufficient_tags(reasons: Mapping[str, str]) -> dict[str, str]:
    """Measures that could not be computed, so that nobody reads a missing number as zero."""
    return {f"insufficient.{name}": reason for name, reason in reasons.items()}


def text(value: object) -> str:
    """A tag or parameter: truth values as yes and no, text as it is, the rest as JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
