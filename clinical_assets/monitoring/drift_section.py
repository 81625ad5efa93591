"""The drift of one batch as a part of a page: verdict, what carries it, every column, and the shapes that changed.

What belongs here: HTML from a finished report, without script or outside material. What does not: the page around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from clinical_assets.drawing import ACCENT, INK
from clinical_assets.monitoring.drift_report import DriftReport, FeatureDrift, Verdict

STYLE = """
.drift table { border-collapse: collapse; width: 100%; font-size: .88rem; }
.drift th, .drift td { text-align: left; padding: .28rem .5rem; border-bottom: 1px solid #dde3e8; vertical-align: top; }
.drift td.n, .drift th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.drift th.n { white-space: normal; } .drift .wide { overflow-x: auto; } .drift .why td { color: #51606e; }
.drift .verdict { font-weight: 600; white-space: nowrap; }
.drift .v-drift { color: #a01222; } .drift .v-stable { color: #22623a; }
.drift .v-insufficient { color: #6b5200; } .drift .quiet { color: #51606e; }
.drift .shapes { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem 2rem; }
.drift figure { margin: 0; break-inside: avoid; } .drift figcaption { font-weight: 600; }
"""
_SAID: dict[Verdict, str] = {"drift": "▲ drift", "stable": "● stable", "insufficient": "○ insufficient"}
_SHAPES = 6


def drift_section(report: DriftReport, *, synthetic: bool, most: int = 60) -> str:
    """A ``<section class="drift">`` for one report; `STYLE` goes into the page's style once.

    Parameters
    ----------
    report : DriftReport
    synthetic : bool
        Whether the data is; the heading then says so.
    most : int
        Columns shown in the table, drifted ones first, then by importance; the section says how many there are.
    """
    label = " (synthetic data)" if synthetic else ""
    ranked = sorted(
        report.features,
        key=lambda each: (each.verdict != "drift", -(each.importance or 0.0), -(each.distances.psi or 0.0)),
    )
    shown = ([] if report.prediction is None else [report.prediction]) + ranked[:most]
    parts = [
        f'<section class="drift"><h2>Drift{label}</h2>',
        f"<p>{_verdict(report.verdict)}: {escape(report.summary)}</p>",
        f'<p class="quiet">All {report.n_batch:,} records of the batch against all {report.n_reference:,} of the '
        f"reference. {_rule(report)}</p>",
        _carriers(report),
        _table(shown, report),
    ]
    if len(ranked) > most:
        parts.append(f'<p class="quiet">{most} of {len(ranked):,} features are shown.</p>')
    changed = [each for each in shown if each.verdict == "drift"][:_SHAPES]
    if changed:
        parts.append('<h3>What changed</h3><div class="shapes">' + "".join(map(_shape, changed)) + "</div>")
    return "\n".join([*parts, "</section>"])


def _verdict(verdict: Verdict) -> str:
    return f'<span class="verdict v-{verdict}">{_SAID[verdict]}</span>'


def _rule(report: DriftReport) -> str:
    limits = report.limits
    return (
        f"Drift is called where a difference is significant among {report.tests:,} tests (Holm, "
        f"{limits['false_alarm_rate']:.0%} for any false alarm) and reaches a limit: PSI {limits['psi_limit']:g}, "
        f"Kolmogorov-Smirnov distance {limits['ks_limit']:g}, change of the missing share "
        f"{limits['missing_change_limit']:.0%}."
    )


def _carriers(report: DriftReport) -> str:
    if not report.carriers:
        return ""
    items = "".join(
        f"<li>{escape(each.name)}: {each.share:.0%} of the drift"
        + (f", {each.importance:.0%} of the model" if each.importance is not None else "")
        + "</li>"
        for each in report.carriers[:10]
    )
    weighed = "features weighed by their contribution to the model"
    if report.importance_drifted is None:
        weighed = "features unweighed: no contributions to the model are known"
    elif report.importance_drifted:
        weighed += f"; {report.importance_drifted:.0%} of the model rests on drifted features"
    return f"<h3>What carries it</h3><p>By total variation, {weighed}.</p><ol>{items}</ol>"


def _table(shown: Sequence[FeatureDrift], report: DriftReport) -> str:
    heads = (
        "Verdict",
        "Importance",
        "PSI",
        "KS or total variation",
        "Wasserstein, SD",
        "Jensen-Shannon",
        "Mean then → now",
        "Missing then → now",
        "p (Holm)",
    )
    rows = []
    for each in shown:
        d = each.distances
        p = min((v for v in (each.p_adjusted, each.missing_p_adjusted) if v is not None), default=None)
        name = escape(each.name) + (" <em>(predicted risk)</em>" if each is report.prediction else "")
        why = f'<tr class="why"><td></td><td colspan="9">{escape("; ".join(each.reasons))}</td></tr>'
        cells = (
            _number(each.importance, ".0%"),
            _number(d.psi, ".3f"),
            _number(d.gap, ".3f"),
            _number(d.wasserstein_standardised, ".3f"),
            _number(d.jensen_shannon, ".3f"),
            f"{_number(d.mean_reference, '.4g')} → {_number(d.mean_batch, '.4g')}",
            f"{_number(d.missing_reference, '.1%')} → {_number(d.missing_batch, '.1%')}",
            "&lt; 1e-12" if p is not None and p < 1e-12 else _number(p, ".2g"),
        )
        rows.append(
            f"<tr><td>{name}</td><td>{_verdict(each.verdict)}</td>"
            + "".join(f'<td class="n">{cell}</td>' for cell in cells)
            + "</tr>"
            + (why if each.reasons else "")
        )
    head = "".join(f'<th class="n">{each}</th>' if i else f"<th>{each}</th>" for i, each in enumerate(heads))
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr><th>Column</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _shape(feature: FeatureDrift) -> str:
    """Two bars for each bin; the numbers stand beside them, so that colour is no one's only guide."""
    bins = feature.distances.bins
    largest = max(max(each.reference, each.batch) for each in bins) or 1.0
    lines = []
    for i, each in enumerate(bins):
        top = 30 * i
        label = escape(each.label if len(each.label) <= 28 else each.label[:27] + "…")
        lines.append(f'<text x="176" y="{top + 17}" text-anchor="end">{label}</text>')
        for share, colour, y in ((each.reference, INK, top + 2), (each.batch, ACCENT, top + 14)):
            width = 170 * share / largest
            lines.append(f'<rect x="182" y="{y}" width="{width:.1f}" height="11" fill="{colour}"/>')
            lines.append(f'<text x="{186 + width:.1f}" y="{y + 9}">{share:.1%}</text>')
    height = 30 * len(bins)
    return (
        f"<figure><figcaption>{escape(feature.name)}</figcaption>"
        f'<p class="quiet">Share of records: upper bar (blue) reference, lower bar (red) batch.</p>'
        f'<svg role="img" aria-label="Shares of {escape(feature.name)}, reference and batch" '
        f'viewBox="0 0 410 {height}" width="410" height="{height}" font-size="10" font-family="Arial, sans-serif">'
        + "".join(lines)
        + "</svg></figure>"
    )
