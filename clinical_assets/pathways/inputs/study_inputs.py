"""From the description of a paired cohort to what this room computes with.

What belongs here: the only place of the room that knows descriptions. What does not: reading and computing, which the
functions called here do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from clinical_assets.cohorts.paired.paired import DesignName, PairedCohortSpec, StudyPlan, resolved_sweeps
from clinical_assets.cohorts.paired.sources import InfluenzaFile, ScoreTable, SyntheticPairs
from clinical_assets.cohorts.paired.sweeps import WHOLE, FamilyName, Setting, Sweep
from clinical_assets.pathways.expression import connectors, synthetic
from clinical_assets.pathways.expression.expression import (
    ExpressionError,
    IdentifierKind,
    map_identifiers,
    read_expression,
)
from clinical_assets.pathways.expression.gene_set_files import read_gmt
from clinical_assets.pathways.expression.gene_sets import GeneSetCollection
from clinical_assets.pathways.expression.normalisation import Normalisation
from clinical_assets.pathways.expression.pairing import PairedExpression, pair_samples
from clinical_assets.pathways.inputs.sample_sheet_file import read_sample_sheet
from clinical_assets.pathways.scores.bidirectional import BidirectionalScoring
from clinical_assets.pathways.scores.scores import ScoringMethod, SignedRankScoring
from clinical_assets.pathways.study.designs import COMBINATION, FOLD_CHANGE, ONE_TRANSCRIPTOME, PATHWAYS
from clinical_assets.pathways.study.search import (
    Adaptive,
    Configuration,
    Range,
    Space,
    SweepSelection,
    grid,
    random_points,
)
from clinical_assets.pathways.study.study import Budget
from clinical_assets.pathways.study.study_results import Removal
from clinical_assets.pathways.study.sweep import (
    Booster,
    Family,
    Forest,
    Logistic,
    UntunedForest,
    families,
    full_families,
)

DESIGNS: dict[DesignName, str] = {
    "one_transcriptome": ONE_TRANSCRIPTOME,
    "log2_fold_change": FOLD_CHANGE,
    "pathways": PATHWAYS,
    "combination": COMBINATION,
}
FAMILIES: dict[FamilyName, str] = {
    "random_forest": Forest().name,
    "logistic_regression": Logistic().name,
    "gradient_booster": Booster().name,
    "untuned_forest": UntunedForest().name,
}


def open_expression(
    spec: PairedCohortSpec, folder: Path, *, erased: Callable[[Sequence[str]], Sequence[bool]] | None = None
) -> PairedExpression:
    """Read, pair and normalise the cohort's samples.

    Parameters
    ----------
    spec : PairedCohortSpec
        The cohort.
    folder : Path
        Where the description lies; paths start there.
    erased : callable, optional
        Which of some subjects were erased on request; their samples are left out before anything else.
    """
    source = spec.expression
    assert not isinstance(source, ScoreTable)  # those cohorts have no samples: see `score_table`
    if isinstance(source, SyntheticPairs):
        return _generated(source).paired
    if isinstance(source, InfluenzaFile):
        path = folder / source.path
        if source.study == "challenge":
            matrix, sheet = connectors.influenza_challenge(path, hours=source.hours or 77)
        else:
            matrix, sheet = connectors.influenza_vaccine(path)
    else:
        sheet = read_sample_sheet(folder / source.samples)
        matrix = read_expression(
            folder / source.matrix,
            samples=frozenset(sheet["sample"]),
            gene_column=source.gene_column,
            identifier_kind=source.identifiers,
            scale=source.scale,
            duplicates=source.duplicates,
            layer=source.layer,
            strand=source.strand,
        )
        if source.mapping is not None and source.mapping.to != matrix.identifier_kind:
            to = source.mapping.to
            mapping = connectors.gene_mapping(folder / source.mapping.org_db, source=matrix.identifier_kind, to=to)
            matrix = map_identifiers(matrix, mapping, to=to, duplicates=source.duplicates)
    if erased is not None:
        gone = erased(sheet["subject"].to_list())
        sheet = sheet.filter([not each for each in gone])
    return pair_samples(
        matrix,
        sheet,
        control=spec.conditions.control,
        affected=spec.conditions.affected,
        normalisation=_normalisation(spec, folder),
        synthetic=spec.synthetic,
    )


def _normalisation(spec: PairedCohortSpec, folder: Path) -> Normalisation:
    options = spec.normalisation.model_dump(exclude={"genes"})
    name = spec.normalisation.genes
    if name is None:
        return Normalisation(**options)
    try:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExpressionError(
            f"gene list {name} cannot be read: {error}", cure="give a text file, a gene a line"
        ) from None
    return Normalisation(**options, genes=tuple(line.strip() for line in lines if line.strip()))


def open_gene_sets(spec: PairedCohortSpec, folder: Path, *, identifiers: IdentifierKind) -> GeneSetCollection:
    """The cohort's gene sets as they were supplied; GO names its genes by the matrix's kind of identifier."""
    source = spec.gene_sets
    if source.kind == "gmt":
        return read_gmt(folder / source.path, version=source.version, descriptions=source.descriptions)
    if source.kind == "go_bp":
        go_db = None if source.go_db is None else folder / source.go_db
        return connectors.go_biological_process(folder / source.org_db, go_db=go_db, identifier=identifiers)
    assert isinstance(spec.expression, SyntheticPairs)  # the description refuses anything else
    return _generated(spec.expression).collection


def scoring_method(spec: PairedCohortSpec) -> ScoringMethod:
    """The method as the cohort wants it."""
    wanted = spec.scoring
    if wanted.method == "bidirectional":
        return BidirectionalScoring(correlation=wanted.correlation)
    return SignedRankScoring(
        zero_method=wanted.zero_method, correction=wanted.correction, correlation=wanted.correlation
    )


def budget(plan: StudyPlan, folder: Path) -> Budget:
    """The study's budget; files of sweeps lie below `folder`, where the description lies."""
    known = _families(plan, folder)
    return Budget(
        families=tuple(known[FAMILIES[name]] for name in plan.families),
        outer=plan.outer,
        n_folds=plan.folds,
        repeats=plan.repeats,
        inner_folds=plan.inner_folds,
        permutations=plan.permutations,
        primary=None if plan.primary is None else (DESIGNS[plan.primary.design], FAMILIES[plan.primary.family]),
        level=plan.level,
        removals=tuple(
            Removal(DESIGNS[design], FAMILIES[plan.ablation.family], plan.ablation.remove)
            for design in plan.ablation.designs
        ),
    )


def ablated_family(plan: StudyPlan, folder: Path) -> Family:
    """The family whose features are removed."""
    return _families(plan, folder)[FAMILIES[plan.ablation.family]]


def _families(plan: StudyPlan, folder: Path) -> dict[str, Family]:
    selection = SweepSelection(plan.select_by)
    shipped = full_families() if plan.sweep == "full" else families()
    every: tuple[Forest | Logistic | Booster, ...] = (*shipped, UntunedForest())
    known = {family.name: replace(family, selection=selection) for family in every}
    for name, sweep in resolved_sweeps(plan, folder).items():
        family = known[FAMILIES[name]]
        points, adaptive = _points(family.name, sweep)
        chosen_by = plan.select_by if sweep.metric is None else sweep.metric.name
        known[FAMILIES[name]] = replace(family, points=points, selection=SweepSelection(chosen_by, adaptive))
    return dict(known)


def _points(family: str, sweep: Sweep) -> tuple[tuple[Configuration, ...], Adaptive | None]:
    """The points of a grid or random search, or what a Bayesian one starts from."""
    # By name: the order in which a file lists its settings means nothing.
    space: Space = tuple((name, _values(name, setting)) for name, setting in sorted(sweep.parameters.items()))
    if sweep.method == "grid":
        values = {name: of for name, of in space if not isinstance(of, Range)}
        return tuple(itertools.islice(grid(family, values), sweep.run_cap)), None
    assert sweep.run_cap is not None  # the description refuses anything else
    if sweep.method == "random":
        return random_points(family, space, budget=sweep.run_cap, seed=sweep.seed), None
    return (), Adaptive(space, sweep.run_cap, sweep.seed)


def _values(name: str, setting: Setting) -> tuple[object, ...] | Range:
    if setting.min is None or setting.max is None:
        return (setting.value,) if setting.values is None else setting.values
    exponents = setting.distribution == "log_uniform"
    low, high = (math.exp(setting.min), math.exp(setting.max)) if exponents else (setting.min, setting.max)
    log = exponents or setting.distribution == "log_uniform_values"
    # Scripts of sweeps make these whole themselves: a forest of 12.4 trees does not exist.
    if setting.whole or name in WHOLE:
        low, high = max(1, math.ceil(low)) if name in WHOLE else math.ceil(low), math.floor(high)
        return Range(low, max(low, high), log=log, whole=True, step=setting.q)
    return Range(low, high, log=log, step=setting.q)


def _generated(source: SyntheticPairs) -> synthetic.SyntheticCohort:
    return synthetic.synthetic_paired_cohort(**source.model_dump(exclude={"kind"}))
