"""From the description of a paired cohort to what this room computes with.

What belongs here: the only place of the room that knows descriptions. What does not: reading and computing, which the
functions called here do.
"""

from __future__ import annotations

from pathlib import Path

from clinical_assets.cohorts.paired import (
    DesignName,
    FamilyName,
    PairedCohortSpec,
    StudyPlan,
)
from clinical_assets.cohorts.paired_sources import InfluenzaFile, SyntheticPairs
from clinical_assets.pathways import connectors, synthetic
from clinical_assets.pathways.designs import COMBINATION, FOLD_CHANGE, ONE_TRANSCRIPTOME, PATHWAYS
from clinical_assets.pathways.expression import ExpressionError, IdentifierKind, map_identifiers, read_expression
from clinical_assets.pathways.gene_sets import GeneSetCollection, read_gmt
from clinical_assets.pathways.normalisation import Normalisation
from clinical_assets.pathways.pairing import PairedExpression, pair_samples, read_sample_sheet
from clinical_assets.pathways.scores import SignedRankScoring
from clinical_assets.pathways.study import Budget
from clinical_assets.pathways.sweep import Booster, Family, Forest, Logistic, full_families

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
}


def open_expression(spec: PairedCohortSpec, folder: Path) -> PairedExpression:
    """Read, pair and normalise the cohort's samples; paths start at `folder`, where the description lies."""
    source = spec.expression
    if isinstance(source, SyntheticPairs):
        return _generated(source).paired
    if isinstance(source, InfluenzaFile):
        path = folder / source.path
        if source.study == "challenge":
            matrix, sheet = connectors.influenza_challenge(path, hours=source.hours or 77)
        else:
            matrix, sheet = connectors.influenza_vaccine(path)
    else:
        matrix = read_expression(
            folder / source.matrix,
            gene_column=source.gene_column,
            identifier_kind=source.identifiers,
            scale=source.scale,
            duplicates=source.duplicates,
        )
        if source.mapping is not None and source.mapping.to != matrix.identifier_kind:
            to = source.mapping.to
            mapping = connectors.gene_mapping(folder / source.mapping.org_db, source=matrix.identifier_kind, to=to)
            matrix = map_identifiers(matrix, mapping, to=to, duplicates=source.duplicates)
        sheet = read_sample_sheet(folder / source.samples)
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
        return read_gmt(folder / source.path, version=source.version)
    if source.kind == "go_bp":
        go_db = None if source.go_db is None else folder / source.go_db
        return connectors.go_biological_process(folder / source.org_db, go_db=go_db, identifier=identifiers)
    assert isinstance(spec.expression, SyntheticPairs)  # the description refuses anything else
    return _generated(spec.expression).collection


def scoring_method(spec: PairedCohortSpec) -> SignedRankScoring:
    """The signed-rank test as the cohort wants it."""
    wanted = spec.scoring
    return SignedRankScoring(
        zero_method=wanted.zero_method, correction=wanted.correction, correlation=wanted.correlation
    )


def budget(plan: StudyPlan) -> Budget:
    """The study's budget."""
    known = _families(plan)
    return Budget(
        families=tuple(known[FAMILIES[name]] for name in plan.families),
        outer=plan.outer,
        n_folds=plan.folds,
        repeats=plan.repeats,
        inner_folds=plan.inner_folds,
        permutations=plan.permutations,
        permuted=((PATHWAYS, FAMILIES[plan.permuted_family]),) if plan.permutations else (),
    )


def ablated_family(plan: StudyPlan) -> Family:
    """The family whose features are removed."""
    return _families(plan)[FAMILIES[plan.ablation.family]]


def _families(plan: StudyPlan) -> dict[str, Family]:
    chosen: tuple[Family, ...] = full_families() if plan.sweep == "full" else (Forest(), Logistic(), Booster())
    return {family.name: family for family in chosen}


def _generated(source: SyntheticPairs) -> synthetic.SyntheticCohort:
    return synthetic.synthetic_paired_cohort(**source.model_dump(exclude={"kind"}))
