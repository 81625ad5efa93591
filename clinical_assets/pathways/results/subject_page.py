"""One page per subject: which pathways are dysregulated, in which direction, how strongly, on what evidence.

What belongs here: what stands on the page. What does not: HTML (``clinical_assets.reporting``).
"""

from __future__ import annotations

import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets, go_term
from clinical_assets.pathways.expression.pairing import PairedExpression
from clinical_assets.pathways.results.figures import directionless
from clinical_assets.pathways.scores.scores import PathwayScores
from clinical_assets.reporting.micro_cohort_views import GeneRow, PathwayRow, SubjectPage
from clinical_assets.reporting.pages import render_page

# Pathways whose genes are listed.
_WITH_GENES = 10


class SubjectPageError(ClinicalAssetsError):
    """A page for somebody who is not in the cohort."""


def subject_page(
    paired: PairedExpression,
    scores: PathwayScores,
    sets: MeasuredGeneSets,
    subject: str,
    *,
    n_pathways: int = 25,
    n_genes: int = 12,
) -> str:
    """The findings of one subject as an HTML page.

    Parameters
    ----------
    paired, scores, sets
        Of the same cohort.
    subject : str
        One of the subjects of `paired`.
    n_pathways : int
        Dysregulated pathways shown, strongest evidence first; the page says how many there are.
    n_genes : int
        Genes shown for each of the first ten pathways, largest difference first.

    Returns
    -------
    str
        A whole document.

    Raises
    ------
    SubjectPageError
        Unknown subject, or parts of different cohorts.
    """
    if subject not in paired.subjects:
        raise SubjectPageError(f"subject {subject!r} is not in the cohort", cure="name one of its subjects")
    if scores.subjects != paired.subjects or scores.names != sets.names or sets.genes != paired.genes:
        raise SubjectPageError("expression, scores and gene sets are of different cohorts", cure="score this cohort")
    row = paired.subjects.index(subject)
    called = np.flatnonzero(scores.score[row])
    # Many large sets reach the smallest p a double can hold: the statistic still orders them.
    order = called[np.lexsort((-np.abs(scores.statistic[row, called]), scores.p_value[row, called]))]
    shown = [int(s) for s in order[:n_pathways]]
    tested_sets = np.flatnonzero(np.isfinite(scores.p_value[row]))
    rest = np.setdiff1d(tested_sets, shown)
    others = rest[np.lexsort((-np.abs(scores.statistic[row, rest]), scores.p_value[row, rest]))]
    up, down = int((scores.score[row] > 0).sum()), int((scores.score[row] < 0).sum())
    tested = int(np.isfinite(scores.p_value[row]).sum())
    expected = scores.alpha * tested
    page = SubjectPage(
        title=f"Subject {subject}: pathways",
        synthetic=paired.synthetic,
        subject=subject,
        conditions=(paired.conditions[0], paired.conditions[1]),
        facts=_facts(paired, row),
        up=up,
        down=down,
        tested=tested,
        expected=expected,
        decided_on=scores.decided_on,
        alpha=scores.alpha,
        remark=_remark(scores.decided_on, up, down, tested, expected),
        called=int(called.size),
        pathways=tuple(_pathway(paired, scores, sets, row, s) for s in shown),
        genes=tuple((scores.names[s], _genes(paired, sets, row, s, n_genes)) for s in shown[:_WITH_GENES]),
        n_genes=n_genes,
        both_ways=directionless(scores),
        others=tuple(_pathway(paired, scores, sets, row, int(s)) for s in others),
        statements=(
            f"{scores.statement} Score at {scores.decided_on} < {scores.alpha:g}.",
            sets.statement(),
            " ".join(paired.statements),
        ),
    )
    return render_page(page)


def _facts(paired: PairedExpression, row: int) -> tuple[tuple[str, str], ...]:
    facts: list[tuple[str, str]] = []
    if paired.labels[row] is not None:
        facts.append(("label", str(paired.labels[row])))
    covariates = paired.covariates.row(row, named=True)
    for name, value in covariates.items():
        if name != "subject" and value is not None:
            # Columns carry units: age_years is read as "age: 29 years".
            what, unit = (name.removesuffix("_years"), " years") if name.endswith("_years") else (name, "")
            facts.append((what.replace("_", " "), f"{value}{unit}"))
    before, after = paired.batches[row]
    if before is not None or after is not None:
        facts.append(("batch", f"{before} → {after}" + (" (different batches)" if before != after else "")))
    facts.append(("genes measured", f"{len(paired.genes):,}"))
    facts.append(("median change of all genes", f"{np.median(paired.differences[row]):+.3f} log2"))
    return tuple(facts)


def _remark(decided_on: str, up: int, down: int, tested: int, expected: float) -> str:
    """What the number of findings itself says."""
    if decided_on == "p" and up + down <= 1.5 * expected:
        return f"That is no more than the {expected:,.0f} that chance would give: read single lines with caution."
    if max(up, down) > 0.3 * tested:
        return "So many in one direction point to a shift of the whole sample rather than to single pathways."
    return ""


def _pathway(paired: PairedExpression, scores: PathwayScores, sets: MeasuredGeneSets, row: int, s: int) -> PathwayRow:
    # Of one that is not called, the direction of its statistic.
    up = bool((scores.score[row, s] or scores.statistic[row, s]) > 0)
    genes = paired.differences[row][sets.positions[s]]
    return PathwayRow(
        name=scores.names[s],
        is_up=None if directionless(scores) else up,
        effect=float(scores.median_effect[row, s]),
        agreeing=int((genes > 0).sum() if up else (genes < 0).sum()),
        genes=int(genes.size),
        z=float(scores.statistic[row, s]),
        p=float(scores.p_value[row, s]),
        fdr=float(scores.fdr[row, s]),
        go=go_term(scores.names[s], sets.descriptions[s]),
    )


def _genes(paired: PairedExpression, sets: MeasuredGeneSets, row: int, s: int, n_genes: int) -> tuple[GeneRow, ...]:
    positions = sets.positions[s]
    control, affected = paired.control[row, positions], paired.affected[row, positions]
    order = np.argsort(-np.abs(affected - control), kind="stable")[:n_genes]
    return tuple(GeneRow(paired.genes[positions[i]], float(control[i]), float(affected[i])) for i in order)
