"""Performance class by class as a reader sees it: each class, who was recognised as what, how it is decided.

Results of two classes, and of trainings made before this part was kept, have none: no rows, no lines.
"""

from __future__ import annotations

from collections.abc import Callable

from clinical_assets.modelling.description.training_results import StoredClass, StoredClassPerformance
from clinical_assets.reporting.formats import interval

_Rows = list[dict[str, str]]

_SHOWN = {
    "auroc": "AUROC against the rest",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
    "observed_expected_ratio": "observed / expected",
    "recall": "recall",
    "precision": "precision",
}


def class_rows(found: StoredClassPerformance | None) -> _Rows:
    """One row per class, its measures with their intervals."""
    return _rows(found.classes if found else (), "class")


def cut_rows(found: StoredClassPerformance | None) -> _Rows:
    """One row per level with those above it, against those below; empty where a training kept none."""
    return _rows(found.cuts if found else (), "level")


def _rows(shown: tuple[StoredClass, ...], heading: str) -> _Rows:
    return [
        {
            heading: each.name,
            "n": f"{each.n:,}",
            "decided": "never" if each.decided == 0 else f"{each.decided:,}",
            **{
                label: interval(each.metrics[name]) if name in each.metrics else "insufficient"
                for name, label in _SHOWN.items()
            },
        }
        for each in shown
    ]


def confusion_rows(found: StoredClassPerformance | None) -> _Rows:
    """True class by decided class, counts with their share of the true class."""

    def shown(count: float, row: tuple[float, ...]) -> str:
        return f"{count:,}" + (f" ({100 * count / sum(row):.1f} %)" if count else "")

    return _matrix(found, found.confusion, shown) if found else []


def cost_rows(found: StoredClassPerformance | None) -> _Rows:
    """True class by decided class, costs; empty where the description has none."""
    return _matrix(found, found.costs, lambda cost, _: f"{cost:g}") if found and found.costs else []


def decision_lines(found: StoredClassPerformance | None) -> list[str]:
    """How a class is decided and what that came to, in sentences; empty where there is no such part."""
    if found is None:
        return []
    never = [each.name for each in found.classes if each.decided == 0]
    warned = [f"**Never decided on the holdout: {', '.join(never)}.**"] if never else []
    if found.costs is None or found.constant is None:
        return [
            "Decided is the likeliest class: the description gives no costs of decisions among the classes "
            "(`decisions.class_costs`). Risk, alert and tier do not depend on it.",
            *warned,
        ]
    return [
        f"Decided is the class with the least expected cost ({found.unit}). {found.rationale}",
        f"Mean cost per patient: {interval(found.mean_cost)}; deciding for the likeliest class "
        f"{interval(found.likeliest)}; for {found.constant.name} in everybody {interval(found.constant)}.",
        *warned,
    ]


def _matrix(
    found: StoredClassPerformance,
    matrix: tuple[tuple[float, ...], ...],
    shown: Callable[[float, tuple[float, ...]], str],
) -> _Rows:
    labels = [each.name for each in found.classes]
    return [
        {
            "true class": label,
            **{f"decided: {other}": shown(value, row) for other, value in zip(labels, row, strict=True)},
        }
        for label, row in zip(labels, matrix, strict=True)
    ]
