"""Synthetic paired cohorts with a known truth.

What belongs here: the generator for demonstrations, tests and power. Everything made here is labelled synthetic, in the
data, in the source and in every name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.canonical import bytes_sha256
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.expression.gene_sets import (
    GeneSetCollection,
    MeasuredGeneSets,
    Provenance,
    measured_gene_sets,
)
from clinical_assets.pathways.expression.pairing import PairedExpression

CASE, CONTROL_LABEL = "symptomatic", "asymptomatic"


class SyntheticError(ClinicalAssetsError):
    """Parameters from which no cohort can be made."""


@dataclass(frozen=True)
class SyntheticCohort:
    """A made-up cohort and its truth.

    Attributes
    ----------
    paired : PairedExpression
        ``synthetic`` is True.
    collection : GeneSetCollection
    sets : MeasuredGeneSets
        Fitted to the genes.
    truth : int8 array, shape (n_subjects, n_sets)
        Direction planted in each subject's set: +1, -1 or 0. A set that shares genes with a planted one is 0 here.
    """

    paired: PairedExpression
    collection: GeneSetCollection
    sets: MeasuredGeneSets
    truth: NDArray[np.int8]


def synthetic_paired_cohort(
    *,
    n_subjects: int = 20,
    n_genes: int = 2000,
    n_sets: int = 80,
    n_planted: int = 8,
    effect: float = 0.6,
    penetrance: float = 0.9,
    background: float = 0.05,
    noise: float = 1.0,
    correlation: float = 0.0,
    set_size: tuple[int, int] = (15, 60),
    layout: Literal["disjoint", "overlapping"] = "overlapping",
    seed: int = 0,
) -> SyntheticCohort:
    """Make a cohort in which some gene sets are dysregulated in the symptomatic half.

    Parameters
    ----------
    n_subjects : int
        Half symptomatic (one fewer if odd).
    n_genes : int
        Genes that are measured.
    n_sets : int
        Gene sets, planted ones included.
    n_planted : int
        Sets that carry the label, disjoint from one another, alternately up and down; 0 plants nothing.
    effect : float
        Shift of every gene of a planted set, in log2 units.
    penetrance, background : float
        Probability that a symptomatic, and an asymptomatic, subject has a planted set dysregulated.
    noise : float
        Standard deviation of a gene's difference.
    correlation : float
        Correlation of the differences of two genes of the same set (of the first set that holds both), 0 to below 1.
    set_size : (int, int)
        Smallest and largest set, both included.
    layout : {"overlapping", "disjoint"}
        Whether sets that are not planted may share genes, with each other and with planted ones.
    seed : int
        Everything random follows from it.

    Raises
    ------
    SyntheticError
        Numbers that contradict each other, such as more genes in disjoint sets than there are.
    """
    rng = np.random.default_rng(seed)
    if not (0 <= n_planted <= n_sets and 0 <= correlation < 1 and n_subjects >= 2 and effect >= 0 and noise > 0):
        raise SyntheticError("parameters outside their ranges", cure="see the docstring")
    sizes = rng.integers(set_size[0], set_size[1] + 1, size=n_sets)
    apart = n_sets if layout == "disjoint" else n_planted
    if int(sizes[:apart].sum()) > n_genes or int(sizes.max(initial=0)) > n_genes:
        raise SyntheticError(
            f"{int(sizes[:apart].sum())} genes are needed for {apart} disjoint sets, there are {n_genes}",
            cure="more genes, fewer or smaller sets",
        )
    order = rng.permutation(n_genes)
    cuts = np.concatenate([[0], np.cumsum(sizes[:apart])])
    members = [np.sort(order[cuts[i] : cuts[i + 1]]) for i in range(apart)]
    members += [np.sort(rng.choice(n_genes, size, replace=False)) for size in sizes[apart:]]

    genes = tuple(f"SYN{i:05d}" for i in range(n_genes))
    width = len(str(max(n_sets - 1, 1)))
    names = tuple(
        f"synthetic set {i:0{width}d}" + (f" (planted {'up' if i % 2 == 0 else 'down'})" if i < n_planted else "")
        for i in range(n_sets)
    )
    label = (
        f"synthetic cohort, seed {seed}, {n_subjects} subjects, {n_genes} genes, {n_sets} sets, {n_planted} planted, "
        f"effect {effect}, penetrance {penetrance}, background {background}, noise {noise}, "
        f"correlation {correlation}, sizes {set_size}, {layout}"
    )
    source = Provenance(file="synthetic", sha256=bytes_sha256(label.encode()), version=label, kind="synthetic")
    collection = GeneSetCollection(
        names=names,
        descriptions=("synthetic",) * n_sets,
        genes=tuple(tuple(genes[g] for g in m) for m in members),
        source=source,
    )
    sick = rng.permutation(n_subjects) < n_subjects // 2
    hit = rng.random((n_subjects, n_planted)) < np.where(sick, penetrance, background)[:, None]
    sign = np.where(np.arange(n_planted) % 2 == 0, 1, -1)
    truth = np.zeros((n_subjects, n_sets), dtype=np.int8)
    truth[:, :n_planted] = hit * sign

    difference = noise * _correlated_noise(rng, n_subjects, n_genes, members, correlation)
    for s in range(n_planted):
        difference[:, members[s]] += effect * truth[:, s : s + 1]
    level = rng.uniform(3, 12, n_genes) + 0.3 * rng.normal(size=(n_subjects, n_genes))
    sets = measured_gene_sets(collection, genes, min_size=set_size[0], max_size=set_size[1])
    kept = [collection.names.index(name) for name in sets.names]
    return SyntheticCohort(
        paired=_paired(level, difference, genes, sick, source, rng),
        collection=collection,
        sets=sets,
        truth=truth[:, kept],
    )


def _correlated_noise(
    rng: np.random.Generator, n_subjects: int, n_genes: int, members: list[NDArray[np.int64]], correlation: float
) -> NDArray[np.float64]:
    """Standard normal differences; genes share one factor with the first set that holds them."""
    own = rng.normal(size=(n_subjects, n_genes))
    if correlation == 0:
        return own
    factor_of = np.full(n_genes, -1)
    for s in range(len(members) - 1, -1, -1):
        factor_of[members[s]] = s
    factors = rng.normal(size=(n_subjects, len(members)))
    inside = factor_of >= 0
    shared = np.zeros_like(own)
    shared[:, inside] = factors[:, factor_of[inside]]
    return np.where(inside, np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own, own)


def _paired(
    level: NDArray[np.float64],
    difference: NDArray[np.float64],
    genes: tuple[str, ...],
    sick: NDArray[np.bool_],
    source: Provenance,
    rng: np.random.Generator,
) -> PairedExpression:
    import polars as pl

    n = level.shape[0]
    subjects = tuple(f"synthetic-{i + 1:02d}" for i in range(n))
    return PairedExpression(
        subjects=subjects,
        genes=genes,
        control=level,
        affected=level + difference,
        conditions=("before", "after"),
        labels=tuple(CASE if s else CONTROL_LABEL for s in sick),
        covariates=pl.DataFrame({"subject": list(subjects), "age_years": rng.integers(20, 45, n)}),
        batches=((None, None),) * n,
        refused=(),
        library_sizes=np.full((n, 2), np.nan),
        factors=None,
        identifier_kind="symbol",
        statements=("SYNTHETIC data: log2 values drawn at random, no patient behind them.",),
        source=source,
        synthetic=True,
    )
