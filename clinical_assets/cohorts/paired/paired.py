"""The description of a micro-cohort: two transcriptomes of each subject, gene sets, and what is made of them.

What belongs here: the model of a paired cohort, and which ones exist. Descriptions lie in ``paired/*.yaml`` below each
folder of the catalogue; team folders come before the shipped one, and the first that knows a name wins. Paths in a
description start at its own folder.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Grown, Name, Strict, is_name
from clinical_assets.cohorts.paired.sources import SYNTHETIC_CONDITIONS, SYNTHETIC_LABELS, ExpressionSource, GeneSets
from clinical_assets.cohorts.paired.sweeps import (
    CriterionName,
    FamilyName,
    NamedSweep,
    Sweep,
    check_settings,
    read_sweep,
)
from clinical_assets.cohorts.registry import CatalogueNote, skipped
from clinical_assets.cohorts.spec import DataDescription, Disease, Owner
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import parse, read_yaml

FOLDER = "paired"
DesignName = Literal["one_transcriptome", "log2_fold_change", "pathways", "combination"]


class Conditions(Strict):
    """What the two samples of a subject are called in the sample sheet."""

    control: str = Field(min_length=1)
    affected: str = Field(min_length=1)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.control == self.affected:
            raise ValueError(f"control and affected are both {self.control!r}")
        return self


class NormalisationOptions(Strict):
    """How the matrix becomes log2 values, as in ``pathways.normalisation.Normalisation``."""

    method: Literal["auto", "tmm", "log2", "none"] = "auto"
    reference: Literal["own_control", "cohort"] = "own_control"
    offset: float = Field(default=1.0, gt=0)
    prior_count: float = Field(default=2.0, gt=0)
    min_level: float | Literal["auto"] | None = "auto"
    min_share: float = Field(default=0.5, ge=0, le=1)
    centre: bool = False
    genes: str | None = Field(
        default=None,
        min_length=1,
        description="Text file with a gene a line that replaces the filter, so that scores stay when the cohort grows.",
    )


class SizeLimits(Strict):
    """Limits on the measured genes of a set, both included."""

    smallest: int = Field(default=15, ge=1)
    largest: int = Field(default=500, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} is above largest {self.largest}")
        return self


class Scoring(Strict):
    """How pathways are scored, and what counts as dysregulated.

    ``signed_rank`` sees genes that move together one way, ``bidirectional`` those that change more than the others.
    """

    method: Literal["signed_rank", "bidirectional"] = "signed_rank"
    zero_method: Literal["wilcox", "pratt"] = "wilcox"
    correction: bool = True
    alpha: float = Field(default=0.05, gt=0, lt=1)
    decide_on: Literal["p", "fdr"] = "p"
    correlation: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Mean inter-gene correlation that the variance is inflated for; null is the study's plain test.",
    )

    @model_validator(mode="after")
    def _options_of_the_method(self) -> Self:
        foreign = sorted(self.model_fields_set & {"zero_method", "correction"})
        if self.method == "bidirectional" and foreign:
            raise ValueError(f"{foreign[0]} belongs to the signed-rank test, not to the bidirectional score")
        return self


class AblationPlan(Strict):
    """Which designs lose their top features, and how large the null of random removal is."""

    designs: tuple[DesignName, ...] = Field(default=("pathways",), min_length=1)
    family: FamilyName = "random_forest"
    remove: int = Field(default=20, ge=1)
    random_removals: int = Field(default=19, ge=1)


class PrimaryRow(Strict):
    """The design and family that the headline is about, named before anyone looked at results."""

    design: DesignName
    family: FamilyName


class StudyPlan(Grown):
    """How much computing the study may cost: for 20 subjects and 600 genes a minute, and one more each permutation.

    ``permutations`` are run through the whole study, ablation and the choice of the best included; with a ``primary``
    row named beforehand, through that row alone. 0 runs none. ``level`` is what p is compared with.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"sweeps", "select_by"})

    sweep: Literal["small", "full"] = "small"
    sweeps: dict[FamilyName, NamedSweep] = Field(
        default={},
        description="Sweeps of single families instead: written here, a file in W&B's syntax, or one that is shipped.",
    )
    select_by: CriterionName = Field(
        default="balanced_accuracy",
        description="What the best of a sweep is chosen by; accuracy and macro precision are means of the folds.",
    )
    families: tuple[FamilyName, ...] = Field(
        default=("random_forest", "logistic_regression", "gradient_booster"), min_length=1
    )
    outer: Literal["folds", "leave_one_out"] = "folds"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=1, ge=1)
    inner_folds: int = Field(default=3, ge=2)
    permutations: int = Field(default=19, ge=0)
    primary: PrimaryRow | None = None
    level: float = Field(default=0.05, gt=0, le=0.5)
    ablation: AblationPlan = AblationPlan()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _families_are_there(self) -> Self:
        if len(set(self.families)) != len(self.families):
            raise ValueError("a family is named twice")
        wanted = {self.ablation.family} | ({self.primary.family} if self.primary else set())
        missing = sorted(wanted - set(self.families))
        if missing:
            raise ValueError(f"{missing[0]!r} is primary or ablated, but is not among the families")
        for swept, sweep in self.sweeps.items():
            if swept not in self.families:
                raise ValueError(f"{swept!r} is swept, but is not among the families")
            if isinstance(sweep, Sweep):
                check_settings(swept, sweep)
        needed = math.ceil(1 / self.level - 1e-9) - 1
        for name, number in (("permutations", self.permutations), ("random_removals", self.ablation.random_removals)):
            if 0 < number < needed:
                least = 1 / (1 + number)
                raise ValueError(f"{number} {name} give no p below {least:.3g}; level {self.level:g} needs {needed}")
        return self


def resolved_sweeps(plan: StudyPlan, folder: Path) -> dict[FamilyName, Sweep]:
    """The sweeps of single families, those in files read; raises `SpecError` where a file is missing or wrong."""
    return {
        family: sweep if isinstance(sweep, Sweep) else read_sweep(sweep, folder, family)
        for family, sweep in plan.sweeps.items()
    }


class PairedCohortSpec(Strict):
    """A micro-cohort: a partition of the assets that score pathways in single subjects."""

    name: Name
    title: str = Field(min_length=1)
    disease: Disease
    intended_use: str = Field(min_length=1)
    not_for: str = Field(min_length=1, description="Uses for which the findings must not be taken.")
    owner: Owner
    data: DataDescription
    expression: ExpressionSource
    conditions: Conditions
    positive: str = Field(min_length=1, description="Label that precision and recall are about.")
    normalisation: NormalisationOptions = NormalisationOptions()
    gene_sets: GeneSets
    sizes: SizeLimits = SizeLimits()
    scoring: Scoring = Scoring()
    study: StudyPlan = StudyPlan()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        made_up, ready = self.expression.kind == "synthetic", self.expression.kind == "scores"
        if ready != (self.gene_sets.kind == "none"):
            raise ValueError("ready-made scores, and only they, have gene_sets: {kind: none}")
        if ready:
            foreign = sorted(self.model_fields_set & {"normalisation", "sizes", "scoring"})
            if foreign:
                raise ValueError(f"{foreign[0]} does nothing to ready-made scores: remove it")
            named = {*self.study.ablation.designs} | ({self.study.primary.design} if self.study.primary else set())
            if named != {"pathways"}:
                raise ValueError("ready-made scores have one design: pathways")
        if self.gene_sets.kind == "synthetic" and not made_up:
            raise ValueError("synthetic gene sets hold synthetic genes: give a GMT file or a GO database")
        if not made_up:
            return self
        if self.data.kind == "real":
            raise ValueError("a cohort with synthetic expression cannot be described as real data")
        if (self.conditions.control, self.conditions.affected) != SYNTHETIC_CONDITIONS:
            raise ValueError("the generator's conditions are control: before, affected: after")
        if self.positive not in SYNTHETIC_LABELS:
            raise ValueError(f"the generator's labels are {' and '.join(SYNTHETIC_LABELS)}, not {self.positive!r}")
        if "normalisation" in self.model_fields_set:
            raise ValueError("synthetic expression comes as log2 values: remove normalisation")
        return self

    @property
    def synthetic(self) -> bool:
        """True when the records were made by a generator."""
        return self.data.kind == "synthetic"


@dataclass(frozen=True)
class PairedCatalogue:
    """The paired cohorts below some catalogue folders.

    Attributes
    ----------
    folders : tuple of Path
        Catalogue folders, searched in order.
    """

    folders: tuple[Path, ...]

    @functools.cached_property
    def paths(self) -> dict[str, Path]:
        """The description of every paired cohort by name, sorted."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in sorted((folder / FOLDER).glob("*.yaml")):
                if is_name(path.stem):
                    found.setdefault(path.stem, path)
        return dict(sorted(found.items()))

    @functools.cached_property
    def notes(self) -> tuple[CatalogueNote, ...]:
        """Files that lie among the descriptions and can be none, for their names."""
        paths = (path for folder in self.folders for path in sorted((folder / FOLDER).glob("*.yaml")))
        return tuple(note for path in paths if (note := skipped(path)) is not None)

    def names(self) -> tuple[str, ...]:
        """Names of all paired cohorts, sorted; no description is read."""
        return tuple(self.paths)

    def path(self, name: str) -> Path:
        """Where ``name`` is described.

        Raises
        ------
        SpecError
            When no folder knows the name; near names are offered.
        """
        if name not in self.paths:
            near = difflib.get_close_matches(name, self.paths, n=3)
            looked = ", ".join(str(folder / FOLDER) for folder in self.folders)
            raise SpecError(
                f"No paired cohort is called {name!r}; looked in {looked}.",
                cure=f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(self.paths) or 'none'}.",
            )
        return self.paths[name]

    def spec(self, name: str) -> PairedCohortSpec:
        """The checked description of ``name``; raises `SpecError` when it is unknown or wrong."""
        return load(self.path(name))


def paired_catalogue(folders: Sequence[Path]) -> PairedCatalogue:
    """The paired cohorts below these catalogue folders, the first folder that knows a name winning."""
    return PairedCatalogue(tuple(folders))


def load(path: Path) -> PairedCohortSpec:
    """Read and check the description of one paired cohort.

    Raises
    ------
    SpecError
        Naming file, line, key and cure of everything that is wrong.
    """
    document = read_yaml(path)
    spec = parse(PairedCohortSpec, document, noun="description of a paired cohort")
    if spec.name != path.stem:
        raise SpecError(
            f"{path}:{document.line(('name',))}: name: the cohort is called {spec.name!r} but the file {path.name!r}.",
            cure=f"Rename the file to {spec.name}.yaml or the cohort to {path.stem}.",
        )
    return spec
