"""One paired cohort as a run sees it: its description, and what the stages before have kept.

What belongs here: the handle that every asset and check of micro-cohorts starts from, and what all of them say about
themselves. State lies in ``<data>/micro_cohorts/<cohort>/``, a file a stage, each whole or not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.cohorts.paired.paired import PairedCohortSpec, paired_catalogue
from clinical_assets.defs import partitions
from clinical_assets.defs.resources import Platform
from clinical_assets.defs.shared.cohort_asset import Partitioned
from clinical_assets.defs.shared.made_from import MadeFrom
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.settings import KEY, KEY_FILE, Settings
from clinical_assets.sources.files import file_state
from clinical_assets.workspace import Workspace

if TYPE_CHECKING:
    from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
    from clinical_assets.pathways.expression.pairing import PairedExpression
    from clinical_assets.pathways.scores.scores import PathwayScores
    from clinical_assets.pathways.study.designs import ReadyScores, StudyData
    from clinical_assets.pathways.study.study_results import StudyResult

GROUP = "micro_cohorts"
OWNER = "team:clinical-data-science"
#: Stands for the digest of gene sets where there are none.
NO_SETS = "none"
# Whose numbers stand in scores, studies and ablations.
_LIBRARIES = ("numba", "numpy", "scikit-learn", "scipy")


@dataclass(frozen=True)
class ScoredExpression:
    """Expression, gene sets and scores that were made from one another, and the digests of the first and the last."""

    paired: PairedExpression
    sets: MeasuredGeneSets
    scores: PathwayScores
    expression: str
    digest: str
    gene_sets: str


@dataclass(frozen=True)
class StudySource:
    """What a study is made from: its data, the digests that it must fit, and where the data came from.

    ``scored`` is None where the scores were made elsewhere.
    """

    data: StudyData
    expression: str
    digest: str
    gene_sets: str
    read_from: str
    statements: tuple[str, ...]
    scored: ScoredExpression | None

    def digests(self) -> dict[str, str]:
        """Digests of the three stages by name."""
        return {"expression": self.expression, "gene_sets": self.gene_sets, "scores": self.digest}


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
        from clinical_assets.cohorts.paired.paired import load

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

    def erased(self, subjects: Sequence[str]) -> list[bool]:
        """Which of these subjects were erased on request: no sample sheet takes them in again."""
        from clinical_assets.records.keys.pseudonyms import Pseudonyms

        known = Pseudonyms(self.settings, self.name)
        return [bool(gone) for gone in known.erased(subjects)] if known.any_erased() else [False] * len(subjects)

    def expression(self) -> tuple[PairedExpression, str]:
        """The kept paired expression and its digest."""
        from clinical_assets.pathways.results.expression_store import read_kept_expression

        return read_kept_expression(self.folder)

    def sets(self) -> tuple[PairedExpression, MeasuredGeneSets, str, str]:
        """Kept expression and gene sets, and their digests."""
        from clinical_assets.pathways.results.expression_store import read_kept_gene_sets

        paired, made_from = self.expression()
        sets, digest = read_kept_gene_sets(self.folder, expression=made_from)
        return paired, sets, made_from, digest

    def scored(self) -> ScoredExpression:
        """Kept expression, gene sets and scores, known to be made from one another."""
        from clinical_assets.pathways.results.expression_store import read_kept_scores

        paired, sets, expression, gene_sets = self.sets()
        scores, digest = read_kept_scores(self.folder, expression=expression, gene_sets=gene_sets)
        return ScoredExpression(paired, sets, scores, expression, digest, gene_sets)

    def plan(self) -> dict[str, Any]:
        """Everything about the study that changes its result; its null includes the ablation, but no random removal."""
        from clinical_assets.cohorts.paired.paired import resolved_sweeps

        study = self.spec.study
        plan: dict[str, Any] = {**study.model_dump(mode="json", exclude={"ablation"}), "positive": self.spec.positive}
        if study.sweeps:
            sweeps = resolved_sweeps(study, self.path.parent)
            plan["sweeps"] = {name: sweep.model_dump(mode="json") for name, sweep in sweeps.items()}
        if study.permutations and study.primary is None:
            plan["removals"] = study.ablation.model_dump(mode="json", exclude={"random_removals"})
        return plan

    @property
    def ready(self) -> bool:
        """Whether the scores were made elsewhere: there are no samples and no gene sets then."""
        return self.spec.expression.kind == "scores"

    def ready_scores(self) -> tuple[ReadyScores, str]:
        """The kept ready-made scores and their digest."""
        from clinical_assets.pathways.results.score_store import read_ready

        return read_ready(self.folder)

    def source(self) -> StudySource:
        """What the study is made from, as the stages before have kept it."""
        from clinical_assets.pathways.study.designs import ready_data, study_data

        if self.ready:
            ready, digest = self.ready_scores()
            data = ready_data(ready, positive=self.spec.positive)
            came = f"{ready.source.file} (SHA-256 {ready.source.sha256[:12]})"
            return StudySource(data, digest, digest, NO_SETS, came, (ready.statement(),), None)
        scored = self.scored()
        paired, sets = scored.paired, scored.sets
        return StudySource(
            data=study_data(paired, scored.scores, positive=self.spec.positive),
            expression=scored.expression,
            digest=scored.digest,
            gene_sets=scored.gene_sets,
            read_from=read_from(paired),
            statements=(scored.scores.statement, sets.statement(), " ".join(paired.statements)),
            scored=scored,
        )

    def studied(self, scored: StudySource) -> tuple[StudyResult, str]:
        """The kept study, known to be made from these scores by this plan, and its digest."""
        from clinical_assets.pathways.results.study_store import read_kept_study

        return read_kept_study(self.folder, plan=self.plan(), expression=scored.expression, scores=scored.digest)


def micro_cohort(platform: Platform, name: str) -> MicroCohort:
    """Everything about one paired cohort; its description is read when first used."""
    cohort = platform.cohort(name)
    path = paired_catalogue(cohort.catalogue.folders).path(name)
    return MicroCohort(name=name, settings=cohort.settings, path=path)


def paired_parts(cohort: MicroCohort) -> dict[str, object]:
    """What every stage is made from besides other stages: description, files that it names, erasures, libraries.

    The same for all stages: what is too much is made once too often, what is too little would stay old.
    """
    from clinical_assets.pathways.experiments.input_archive import input_paths

    folder = cohort.path.parent
    ledger = Workspace(cohort.settings).cohort(cohort.name).ledger
    return {
        "description": cohort.spec.model_dump(mode="json"),
        "files": [[name, *_state(folder / name)] for name in input_paths(cohort.spec, folder)],
        "erasures": [entry.seq for entry in ledger.newest(1, cohort=cohort.name, action="erasure")],
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _state(path: Path) -> tuple[int, ...]:
    """State of a file; nothing where it is missing, which the stage that reads it says in its own words."""
    return file_state(path) if path.is_file() else ()


#: Micro-cohorts as partitions of their own.
MICRO_COHORT: Partitioned[MicroCohort] = Partitioned(partitions.micro_cohorts, micro_cohort)
micro_cohort_asset = partial(
    MICRO_COHORT.asset,
    group=GROUP,
    owner=OWNER,
    made_from=MadeFrom(paired_parts, lambda cohort: cohort.folder.is_dir()),
)
micro_cohort_check = MICRO_COHORT.check


def read_from(paired: PairedExpression) -> str:
    """Which file the samples were read from."""
    return f"{paired.source.file} (SHA-256 {paired.source.sha256[:12]})"


def schema(**columns: tuple[str, str]) -> dg.TableSchema:
    """Columns by name: type and what they hold."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type=kind, description=said) for name, (kind, said) in columns.items()]
    )


def numbered(scores: PathwayScores) -> PathwayScores:
    """The same scores with numbers for names: pictures go into the event log, which is no place for identifiers."""
    return replace(scores, subjects=tuple(f"{i:03d}" for i in range(1, len(scores.subjects) + 1)))


def nothing_paired() -> dg.AssetCheckResult:
    """What a check of samples or gene sets says of ready-made scores."""
    said = "ready-made scores: there are no samples and no gene sets to look at"
    return dg.AssetCheckResult(passed=True, description=said)
