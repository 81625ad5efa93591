"""The drift of the newest batches as a reader sees it: the rule, what carries it, every column, shapes that changed.

What belongs here: the view of a finished report. What does not: reaching it (``drift``), HTML
(``clinical_assets.reporting``).
"""

from __future__ import annotations

import re

from clinical_assets.monitoring.drift.report import DriftReport, DriftVerdict, FeatureDrift
from clinical_assets.reporting.formats import counted, form, p_value, prose, words
from clinical_assets.reporting.views import Badge, DriftRow, DriftView, Shape, ShapeBar

_BADGES: dict[DriftVerdict, Badge] = {
    "drift": Badge("amber", "▲ drift"),
    "stable": Badge("green", "● stable"),
    "insufficient": Badge("grey", "○ insufficient"),
}
_COLUMNS = (
    "Importance",
    "PSI",
    "KS or total variation",
    "Wasserstein, SD",
    "Jensen-Shannon",
    "Mean then → now",
    "Missing then → now",
    "p (Holm)",
)
_SHAPES, _CARRIERS = 6, 10
_BETWEEN = re.compile(r"(\S+) < x <= (\S+)")
_OPEN = re.compile(r"x (<=|>) (\S+)")
# Of a bar that stands for the largest share, in the units of the drawing.
_WIDTH = 170.0


def drift_view(report: DriftReport, *, most: int = 60) -> DriftView:
    """What is shown of a drift report.

    Parameters
    ----------
    report : DriftReport
        Of one batch.
    report : DriftReport
    most : int
        Features shown in the table, drifted ones first, then by importance.
    """
    ranked = sorted(
        report.features,
        key=lambda each: (each.verdict != "drift", -(each.importance or 0.0), -(each.distances.psi or 0.0)),
    )
    risk = [] if report.prediction is None else [report.prediction]
    changed = [each for each in (*risk, *ranked) if each.verdict == "drift"]
    return DriftView(
        n_batch=report.n_batch,
        n_reference=report.n_reference,
        rule=_rule(report),
        carriers=tuple(
            f"{words(each.name)}: {each.share:.0%} of the drift"
            + (f", {each.importance:.0%} of the model" if each.importance is not None else "")
            for each in report.carriers[:_CARRIERS]
        ),
        weighed=_weighed(report),
        columns=_COLUMNS,
        rows=tuple(_row(each, is_risk=each is report.prediction) for each in (*risk, *ranked[:most])),
        total=len(risk) + len(ranked),
        shapes=tuple(map(_shape, changed[:_SHAPES])),
    )


def _rule(report: DriftReport) -> str:
    limits = report.limits
    return (
        f"Drift is called where a difference is significant among {counted(report.tests, 'test')} (Holm, "
        f"{limits['false_alarm_rate']:.0%} for any false alarm) and reaches a limit: PSI {limits['psi_limit']:g}, "
        f"Kolmogorov-Smirnov distance {limits['ks_limit']:g}, change of the missing share "
        f"{limits['missing_change_limit']:.0%}."
    )


def _weighed(report: DriftReport) -> str:
    if report.importance_drifted is None:
        return "features unweighed: no contributions to the model are known"
    weighed = "features weighed by their contribution to the model"
    return weighed + (
        f"; {report.importance_drifted:.0%} of the model rests on drifted features" if report.importance_drifted else ""
    )


def _row(each: FeatureDrift, *, is_risk: bool) -> DriftRow:
    d = each.distances
    p = min((v for v in (each.p_adjusted, each.missing_p_adjusted) if v is not None), default=None)
    cells = (
        form(each.importance, ".0%"),
        form(d.psi, ".3f"),
        form(d.gap, ".3f"),
        form(d.wasserstein_standardised, ".3f"),
        form(d.jensen_shannon, ".3f"),
        f"{form(d.mean_reference, '.4g')} → {form(d.mean_batch, '.4g')}",
        f"{form(d.missing_reference, '.1%')} → {form(d.missing_batch, '.1%')}",
        p_value(p),
    )
    return DriftRow(words(each.name), is_risk, _BADGES[each.verdict], cells, prose("; ".join(each.reasons)))


def _shape(feature: FeatureDrift) -> Shape:
    """Two bars for each bin; the numbers stand beside them, so that colour is no one's only guide."""
    bins = [each for each in feature.distances.bins if each.reference or each.batch]
    largest = max((max(each.reference, each.batch) for each in bins), default=0.0) or 1.0
    return Shape(
        words(feature.name),
        tuple(
            ShapeBar(
                label=_label(each.label),
                reference=each.reference,
                batch=each.batch,
                reference_width=_WIDTH * each.reference / largest,
                batch_width=_WIDTH * each.batch / largest,
            )
            for each in bins
        ),
    )


def _label(bin_label: str) -> str:
    """A bin as a reader says it, its ends with three digits: ``1.18457 < x <= 1.46033`` is ``1.18 to 1.46``."""
    if (found := _BETWEEN.fullmatch(bin_label)) is not None:
        return f"{float(found[1]):.3g} to {float(found[2]):.3g}"
    if (found := _OPEN.fullmatch(bin_label)) is not None:
        return f"{'up to' if found[1] == '<=' else 'above'} {float(found[2]):.3g}"
    return bin_label if len(bin_label) <= 28 else bin_label[:27] + "…"
