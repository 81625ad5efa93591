"""Sweeps in the description of a paired cohort, in the syntax of Weights & Biases' sweep files.

What belongs here: the model of a sweep, and which settings each family of models has. What does not: drawing points
(``pathways.study.search``).

A sweep file of W&B can be used as it is, as far as it maps: grid, random and Bayesian search, values, constants,
uniform and log-uniform ranges. What says where and how its own runs happen is read over; what would change which
points are tried and cannot be done here is refused.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from clinical_assets.cohorts.base import Scalar, Strict
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import parse, read_yaml

FamilyName = Literal["random_forest", "logistic_regression", "gradient_booster", "untuned_forest"]
CriterionName = Literal["balanced_accuracy", "accuracy", "precision_macro"]
Distribution = Literal[
    "constant", "categorical", "int_uniform", "uniform", "q_uniform", "log_uniform", "log_uniform_values"
]
_TREES = frozenset({"n_estimators", "max_depth", "max_features", "criterion", "min_samples_split", "min_samples_leaf"})
#: Settings that a sweep of the family may speak of.
SETTINGS: Mapping[str, frozenset[str]] = {
    "random_forest": _TREES | {"bootstrap", "class_weight", "max_leaf_nodes", "max_samples", "ccp_alpha"},
    "logistic_regression": frozenset({"c", "l1_ratio"}),
    "gradient_booster": (_TREES - {"criterion"}) | {"learning_rate", "subsample"},
    "untuned_forest": frozenset(),
}
#: Settings that are whole numbers whatever a range says.
WHOLE = frozenset({"n_estimators", "max_depth", "max_leaf_nodes"})
SHIPPED = Path(__file__).parent.parent / "catalogue" / "paired" / "sweeps"
_MOST_POINTS = 10_000


class Setting(Strict):
    """One swept setting: a value, several, or a range with both ends."""

    value: Scalar | None = None
    values: tuple[Scalar | None, ...] | None = Field(default=None, min_length=1)
    min: int | float | None = None
    max: int | float | None = None
    q: int | float | None = Field(default=None, gt=0, description="Step of q_uniform.")
    distribution: Distribution | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = self.model_fields_set & {"value", "values", "min"}
        if len(ways) != 1 or ("min" in ways) != ("max" in self.model_fields_set):
            raise ValueError("give value, or values, or min with max")
        if "min" not in ways:
            return self
        if self.min is None or self.max is None or not (math.isfinite(self.min) and math.isfinite(self.max)):
            raise ValueError("min and max are numbers")
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} is not below max {self.max:g}")
        if self.distribution == "log_uniform_values" and self.min <= 0:
            raise ValueError("a logarithmic range starts above 0")
        if self.distribution == "log_uniform" and max(abs(self.min), abs(self.max)) > 100:
            raise ValueError("ends of log_uniform are exponents of e; for the values themselves: log_uniform_values")
        if self.distribution in ("constant", "categorical"):
            raise ValueError(f"{self.distribution} has values, not ends")
        if (self.q is not None) != (self.distribution == "q_uniform"):
            raise ValueError("q belongs to q_uniform, which needs it")
        if self.distribution == "int_uniform" and not self.whole:
            raise ValueError("ends of int_uniform are whole numbers")
        return self

    @property
    def whole(self) -> bool:
        """Whether a range holds whole numbers: 1 to 10 does, 1.0 to 10.0 does not, as W&B takes it."""
        if self.distribution in (None, "int_uniform", "q_uniform"):
            return all(isinstance(end, int) for end in (self.min, self.max, self.q) if end is not None)
        return False


class SweepMetric(Strict):
    """By what the best is chosen."""

    name: CriterionName
    goal: Literal["maximize"] = "maximize"


class Sweep(Strict):
    """Which configurations of a family are tried.

    ``run_cap`` is the budget: configurations of a random or Bayesian search. ``seed`` of the draws; W&B has none.
    """

    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Setting] = Field(min_length=1)
    run_cap: int | None = Field(default=None, ge=1, le=_MOST_POINTS)
    seed: int = Field(default=0, ge=0)
    metric: SweepMetric | None = None
    # Where and how the runs of W&B happen.
    program: Any = Field(default=None, exclude=True)
    command: Any = Field(default=None, exclude=True)
    project: Any = Field(default=None, exclude=True)
    entity: Any = Field(default=None, exclude=True)
    name: Any = Field(default=None, exclude=True)
    description: Any = Field(default=None, exclude=True)
    early_terminate: Any = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if self.method != "grid" and self.run_cap is None:
            raise ValueError(f"a {self.method} search needs a budget: run_cap")
        if self.method != "grid":
            return self
        ranges = [name for name, setting in self.parameters.items() if setting.min is not None]
        if ranges:
            raise ValueError(f"a grid has values; {ranges[0]} has a range: list its values, or search at random")
        points = math.prod(len(setting.values or (None,)) for setting in self.parameters.values())
        if points > _MOST_POINTS and self.run_cap is None:
            raise ValueError(f"{points:,} points of the grid are more than {_MOST_POINTS:,}: give run_cap, or fewer")
        return self


#: A sweep written into the description, or the name of a file or of a shipped one.
NamedSweep = Annotated[
    Annotated[Sweep, Tag("sweep")] | Annotated[str, Tag("file")],
    Discriminator(lambda value: "file" if isinstance(value, str) else "sweep"),
]


def check_settings(family: FamilyName, sweep: Sweep) -> None:
    """Refuse settings that the family does not have; raises ValueError that names the nearest."""
    for name in sweep.parameters:
        if name not in SETTINGS[family]:
            near = difflib.get_close_matches(name, SETTINGS[family], n=1)
            known = ", ".join(sorted(SETTINGS[family])) or "none: it is not swept"
            cure = f"did you mean {near[0]}?" if near else f"there are {known}"
            raise ValueError(f"{family} has no setting {name!r}: {cure}")


def read_sweep(name: str, folder: Path, family: FamilyName) -> Sweep:
    """The sweep of a file below `folder`, or a shipped one by its name.

    Raises
    ------
    SpecError
        Unknown, wrong, or of another family.
    """
    path = sweep_path(name, folder)
    if not path.is_file():
        shipped = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
        raise SpecError(f"The sweep {name!r} is not there.", cure=f"Name a file beside the description, or {shipped}.")
    sweep = parse(Sweep, read_yaml(path), noun="sweep")
    try:
        check_settings(family, sweep)
    except ValueError as error:
        raise SpecError(f"{path}: {error}.", cure="Correct the setting's name.") from error
    return sweep


def sweep_path(name: str, folder: Path) -> Path:
    """Where a sweep lies: a file of the description's folder, or a shipped one."""
    return folder / name if is_file_name(name) else SHIPPED / f"{name}.yaml"


def is_file_name(name: str) -> bool:
    """Whether a sweep is named as a file rather than as a shipped one."""
    return name.endswith((".yaml", ".yml"))
