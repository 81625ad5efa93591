"""One page per subject: which pathways are dysregulated, in which direction, how strongly, on what evidence.

What belongs here: the page. It is one file of HTML without script or outside material, readable on screen and in print,
and says what the numbers cannot say.
"""

from __future__ import annotations

from html import escape

import numpy as np

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.pairing import PairedExpression
from clinical_assets.pathways.scores import PathwayScores


class SubjectPageError(ClinicalAssetsError):
    """A page for somebody who is not in the cohort."""


_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1d2630; max-width: 62rem;
  margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.12rem; margin: 1.6rem 0 .4rem; }
p { margin: .4rem 0; } .quiet { color: #51606e; }
.synthetic { background: #fdecea; border: 2px solid #b2182b; color: #7d1020; padding: .5rem .8rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: .28rem .5rem; border-bottom: 1px solid #dde3e8; vertical-align: top; }
th { border-bottom: 2px solid #1d2630; font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.up { color: #a01222; font-weight: 600; } .down { color: #1b579b; font-weight: 600; }
.facts { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; padding: 0; list-style: none; }
.facts b { font-weight: 600; }
.genes { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem 2rem;
  align-items: start; }
.genes table { font-size: .8rem; break-inside: avoid; } .genes td, .genes th { padding: .1rem .4rem; }
.genes caption { text-align: left; font-weight: 600; padding: .2rem .4rem; }
ul.notes { padding-left: 1.1rem; } footer { border-top: 1px solid #dde3e8; margin-top: 1.6rem; font-size: .8rem; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } }
"""


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
    shown = order[:n_pathways]
    up, down = int((scores.score[row] > 0).sum()), int((scores.score[row] < 0).sum())
    tested = int(np.isfinite(scores.p_value[row]).sum())
    expected = scores.alpha * tested
    warning = (
        '<p class="synthetic" role="note">SYNTHETIC DATA. No patient stands behind this page.</p>'
        if paired.synthetic
        else ""
    )
    body = [
        warning,
        f"<h1>Subject {escape(subject)}</h1>",
        f'<p class="quiet">Pathways that differ between the two samples of this subject: '
        f"{escape(paired.conditions[0])} → {escape(paired.conditions[1])}.</p>",
        _facts(paired, row),
        "<h2>In short</h2>",
        f"<p>{_in_short(scores, up, down, tested, expected)}</p>",
    ]
    if shown.size:
        more = f" The {shown.size} with the strongest evidence of {called.size}." if called.size > shown.size else ""
        body += [
            "<h2>Dysregulated pathways</h2>",
            f'<p class="quiet">Median change is the middle log2 difference of the pathway\'s measured genes; +1 is a '
            f"doubling.{more}</p>",
            _pathway_table(paired, scores, sets, row, shown),
            "<h2>Genes behind them</h2>",
            f'<p class="quiet">Of the first {min(10, shown.size)} pathways, the {n_genes} genes that changed most; '
            "log2 expression.</p>",
            '<div class="genes">'
            + "".join(_genes(paired, scores, sets, row, int(s), n_genes) for s in shown[:10])
            + "</div>",
        ]
    body += [
        "<h2>How to read this</h2>",
        '<ul class="notes">'
        "<li>For research. Nothing here is a diagnosis, and no treatment follows from it alone.</li>"
        "<li>The scores rest on one sample before and one after; there is no repeat measurement behind them.</li>"
        "<li>The test asks whether a pathway's genes move together in one direction. A pathway whose genes move "
        "apart, some up and some down, does not show.</li>"
        f"<li>Of {tested:,} pathways tested, about {expected:,.0f} fall below {scores.alpha:g} by chance alone if "
        "genes were independent, more if they are not. The FDR column allows for the number of tests.</li>"
        "<li>Pathways share genes: several lines can be one finding.</li></ul>",
        f"<footer><p>{escape(scores.statement)} Score at {scores.decided_on} &lt; {scores.alpha:g}.</p>"
        f"<p>{escape(sets.statement())}</p><p>{escape(' '.join(paired.statements))}</p></footer>",
    ]
    title = f"{'SYNTHETIC ' if paired.synthetic else ''}Subject {escape(subject)}: pathways"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _facts(paired: PairedExpression, row: int) -> str:
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
    return '<ul class="facts">' + "".join(f"<li><b>{escape(k)}:</b> {escape(v)}</li>" for k, v in facts) + "</ul>"


def _in_short(scores: PathwayScores, up: int, down: int, tested: int, expected: float) -> str:
    if not up and not down:
        return f"No pathway of {tested:,} tested is dysregulated at {scores.decided_on} &lt; {scores.alpha:g}."
    text = (
        f'Dysregulated of {tested:,} pathways tested: <span class="up">{up:,} up</span> and '
        f'<span class="down">{down:,} down</span>, at {scores.decided_on} &lt; {scores.alpha:g}.'
    )
    if scores.decided_on == "p" and up + down <= 1.5 * expected:
        text += f" That is no more than the {expected:,.0f} that chance would give: read single lines with caution."
    elif max(up, down) > 0.3 * tested:
        text += " So many in one direction point to a shift of the whole sample rather than to single pathways."
    return text


def _pathway_table(
    paired: PairedExpression, scores: PathwayScores, sets: MeasuredGeneSets, row: int, shown: np.ndarray
) -> str:
    difference = paired.differences[row]
    lines = []
    for s in shown:
        up = scores.score[row, s] > 0
        genes = difference[sets.positions[s]]
        agree = int((genes > 0).sum() if up else (genes < 0).sum())
        lines.append(
            f"<tr><td>{escape(scores.names[s])}</td>"
            f'<td class="{"up" if up else "down"}">{"▲ up" if up else "▼ down"}</td>'
            f'<td class="n">{scores.median_effect[row, s]:+.2f}</td>'
            f'<td class="n">{agree} of {genes.size}</td>'
            f'<td class="n">{scores.statistic[row, s]:+.1f}</td>'
            f'<td class="n">{_p(scores.p_value[row, s])}</td><td class="n">{_p(scores.fdr[row, s])}</td></tr>'
        )
    return (
        '<table><thead><tr><th>Pathway</th><th>Direction</th><th class="n">Median change, log2</th>'
        '<th class="n">Genes that way</th><th class="n">z</th><th class="n">p</th><th class="n">FDR</th></tr></thead>'
        "<tbody>" + "".join(lines) + "</tbody></table>"
    )


def _genes(
    paired: PairedExpression, scores: PathwayScores, sets: MeasuredGeneSets, row: int, s: int, n_genes: int
) -> str:
    positions = sets.positions[s]
    control, affected = paired.control[row, positions], paired.affected[row, positions]
    difference = affected - control
    order = np.argsort(-np.abs(difference), kind="stable")[:n_genes]
    lines = "".join(
        f'<tr><td>{escape(paired.genes[positions[i]])}</td><td class="n">{control[i]:.1f}</td>'
        f'<td class="n">{affected[i]:.1f}</td>'
        f'<td class="n {"up" if difference[i] > 0 else "down"}">{difference[i]:+.2f}</td></tr>'
        for i in order
    )
    return (
        f"<table><caption>{escape(scores.names[s])}</caption><thead><tr><th>Gene</th>"
        f'<th class="n">{escape(paired.conditions[0])}</th><th class="n">{escape(paired.conditions[1])}</th>'
        f'<th class="n">change</th></tr></thead><tbody>{lines}</tbody></table>'
    )


def _p(value: float) -> str:
    if value < 1e-15:
        return "&lt; 1e-15"
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"
