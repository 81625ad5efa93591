"""Is every class of an outcome with more than two recognised at all? One verdict for each class, on the holdout.

A model may rank all classes well and yet decide for one of them never: whoever reads its decisions will believe that
nobody has it. Recall is the share of a class's rows that were decided for it. A class that is never decided, or of
which no row is recognised, fails; one whose interval of recall touches 0, or with fewer rows than
``limits.minimum_events``, is ``insufficient``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.governance.verdicts.verdict import Outcome, Verdict
from clinical_assets.modelling.description.class_performance import class_recalls

_CURE = (
    "Say with decisions.class_costs what it costs to miss this class, merge it with its neighbour, or give the model "
    "more of its rows or features that tell it apart."
)


def judge_classes(
    y: IntArray,
    decided: IntArray,
    labels: Sequence[str],
    *,
    least: int,
    subjects: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
) -> tuple[Verdict, ...]:
    """Verdicts ``class_recall[label]``.

    Parameters
    ----------
    y, decided : arrays of shape (n,)
        True and decided classes of the holdout's rows.
    labels : sequence of str
        Of the classes.
    least : int
        Rows that a class must have to be judged.
    subjects : array of shape (n,), optional
        Subjects, resampled as a whole, where they have several rows.
    weights : array of shape (n,), optional
        Case weights.
    seed : int
        Of the bootstrap.
    """
    recalls = class_recalls(y, decided, n_classes=len(labels), groups=subjects, weights=weights, seed=seed)
    verdicts = []
    for number, (label, recall) in enumerate(zip(labels, recalls, strict=True)):
        n, times = int((y == number).sum()), int((decided == number).sum())
        criterion, limit = f"class_recall[{label}]"[:200], "> 0"
        if isinstance(recall, str):
            reason = f"The holdout has no row of class {label} that could be recognised: {recall}."
            verdicts.append(Verdict("performance", criterion, "insufficient", reason, limit=limit, n=y.size, events=n))
            continue
        outcome, reason = _judged(
            label, n=n, of=y.size, times=times, value=recall.value, low=recall.ci_low, least=least
        )
        others = {labels[k]: int(((y == number) & (decided == k)).sum()) for k in np.unique(decided[y == number])}
        verdicts.append(
            Verdict(
                "performance",
                criterion,
                outcome,
                reason,
                value=recall.value,
                limit=limit,
                ci_low=recall.ci_low,
                ci_high=recall.ci_high,
                n=y.size,
                events=n,
                evidence={"decided for it": times, "its rows were decided as": others, "method": recall.method},
            )
        )
    return tuple(verdicts)


def _judged(label: str, *, n: int, of: int, times: int, value: float, low: float, least: int) -> tuple[Outcome, str]:
    never = f"Class {label} is never decided for any of {of:,} rows, although {n:,} have it."
    none = f"None of the {n:,} rows of class {label} is recognised."
    if n < least:
        said = f"{never} " if times == 0 else ""
        return "insufficient", f"{said}{n} rows of class {label} are too few to judge by; {least} are needed."
    if times == 0:
        return "fail", f"{never} {_CURE}"
    if value == 0:
        return "fail", f"{none} {_CURE}"
    if low <= 0:
        return "insufficient", f"The interval of the recall of class {label} touches 0. {_CURE}"
    return "pass", f"{value:.1%} of the {n:,} rows of class {label} are recognised."
