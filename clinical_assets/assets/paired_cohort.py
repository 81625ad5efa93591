"""One paired cohort as a run sees it: its description, and what the stages before have kept.

What belongs here: the handle that every asset and check of micro-cohorts starts from, and what all of them say about
themselves. State lies in ``<data>/micro_cohorts/<cohort>/``, a file a stage, each whole or not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets import evidence
from clinical_assets.assets.resources import Platform
from clinical_assets.cohorts.paired import PairedCohortSpec, paired_catalogue
from clinical_assets.errors import SpecError
from clinical_assets.settings import KEY, KEY_FILE, Settings

if TYPE_CHECKING:
    from clinical_assets.pathways.gene_sets import MeasuredGeneSets
    from clinical_assets.pathways.pairing import PairedExpression
    from clinical_assets.pathways.scores import PathwayScores
    from clinical_assets.pathways.study import StudyResult

GROUP = "micro_cohorts"
OWNERS = ["team:clinical-data-science"]


@dataclass(frozen=True)
class Scored:
    """Expression, gene sets and scores that were made from one another, and the digests of the first and the last."""

    paired: PairedExpression
    sets: MeasuredGeneSets
    scores: PathwayScores
    expression: str
    digest: str


@dataclass(frozen=True)
class MicroCohort:
    """One paired cohort as a run sees it."""

    name: str
    settings: Settings
    path: Path

    @cached_property
    def spec(self) -> PairedCohortSpec:
        """The checked description.

        Raises
        ------
        SpecError
            When it is wrong, or when records of real subjects would be written in the clear although a key is set.
        """
        from clinical_assets.cohorts.paired import load

        spec = load(self.path)
        if self.settings.master_key is not None and not spec.synthetic:
            raise SpecError(
                f"{KEY} or {KEY_FILE} asks for encrypted state, but the files of paired cohorts are plain.",
                cure=f"Keep real paired cohorts in a data folder on an encrypted disk, and run them without {KEY}.",
            )
        return spec

    @property
    def folder(self) -> Path:
        """Folder of the cohort's files, whether or not it exists yet."""
        return self.settings.data / "micro_cohorts" / self.name

    def expression(self) -> tuple[PairedExpression, str]:
        """The kept paired expression and its digest."""
        from clinical_assets.pathways.kept import read_kept_expression

        return read_kept_expression(self.folder)

    def sets(self) -> tuple[PairedExpression, MeasuredGeneSets, str, str]:
        """Kept expression and gene sets, and their digests."""
        from clinical_assets.pathways.kept import read_kept_gene_sets

        paired, made_from = self.expression()
        sets, digest = read_kept_gene_sets(self.folder, expression=made_from)
        return paired, sets, made_from, digest

    def scored(self) -> Scored:
        """Kept expression, gene sets and scores, known to be made from one another."""
        from clinical_assets.pathways.kept import read_kept_scores

        paired, sets, expression, gene_sets = self.sets()
        scores, digest = read_kept_scores(self.folder, expression=expression, gene_sets=gene_sets)
        return Scored(paired, sets, scores, expression, digest)

    def plan(self) -> dict[str, Any]:
        """Everything about the study that changes its result; the ablation has options of its own."""
        return {**self.spec.study.model_dump(exclude={"ablation"}), "positive": self.spec.positive}

    def studied(self, scored: Scored) -> tuple[StudyResult, str]:
        """The kept study, known to be made from these scores by this plan, and its digest."""
        from clinical_assets.pathways.kept_study import read_kept_study

        return read_kept_study(self.folder, plan=self.plan(), expression=scored.expression, scores=scored.digest)


def micro_cohort(platform: Platform, name: str) -> MicroCohort:
    """Everything about one paired cohort; its description is read when first used."""
    cohort = platform.cohort(name)
    path = paired_catalogue(cohort.catalogue.folders).path(name)
    return MicroCohort(name=name, settings=cohort.settings, path=path)


def identity(cohort: MicroCohort, paired: PairedExpression) -> dict[str, Any]:
    """Whether the records are real, under which licence, and which file they were read from."""
    said = evidence.identity(cohort.spec)
    return {**said, "read from": f"{paired.source.file} (SHA-256 {paired.source.sha256[:12]})"}


def schema(**columns: tuple[str, str]) -> dg.TableSchema:
    """Columns by name: type and what they hold."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type=kind, description=said) for name, (kind, said) in columns.items()]
    )


def numbered(scores: PathwayScores) -> PathwayScores:
    """The same scores with numbers for names: pictures go into the event log, which is no place for identifiers."""
    return replace(scores, subjects=tuple(f"{i:03d}" for i in range(1, len(scores.subjects) + 1)))
