"""Performance class by class, for an outcome of more than two: who is recognised as what, and how good each risk is.

What belongs here: each class against the rest and the decision among all, as plain values for report and gate. What
does not: the one risk that costs, threshold and tiers speak of (``evaluation``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.table.resampled import drawn_units, ratio, resampled
from clinical_assets.statistics.decisions.class_costs import cheapest_class, confusion, equal_costs
from clinical_assets.statistics.uncertainty.intervals import Estimate, mean_estimate, proportion

SHOWN = ("auroc", "calibration_intercept", "calibration_slope", "observed_expected_ratio")
_RESAMPLES = 500


def class_performance(
    y: IntArray,
    served: FloatArray,
    decided: IntArray,
    spec: CohortSpec,
    *,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
) -> dict[str, Any]:
    """Each class against the rest, and what the decisions among all classes came to.

    Parameters
    ----------
    y : array of shape (n,)
        True classes 0 .. k-1 of rows that the model has not seen.
    served : array of shape (n, k)
        Served probabilities of the same rows.
    decided : array of shape (n,)
        Classes that the bundle decided on.
    spec : CohortSpec
        Labels, and costs where the description has them.
    groups : array of shape (n,), optional
        Subjects, where they have several rows; intervals then come from resampling subjects.
    weights : array of shape (n,), optional
        Case weights; the confusion matrix counts records.

    Returns
    -------
    dict
        ``rule`` (``least expected cost`` or ``likeliest class``), ``costs`` (the matrix or null), ``unit``, ``classes``
        (``class``, ``n``, ``decided``, ``metrics`` with AUROC, calibration, recall and precision, ``insufficient`` with
        reasons), ``cuts`` (the same for each level or a graver one, the mildest left out), ``confusion`` (true class by
        decided class), and with costs ``mean_cost`` of these decisions, of the ``likeliest`` class, and of the cheapest
        decision that is the same for everybody (``constant``).
    """
    labels, seed = spec.target.classes, spec.modelling.search.seed
    table = confusion(y, decided, n_classes=len(labels))
    groups = drawn_units(y.size, groups, weights)
    recalls = class_recalls(y, decided, n_classes=len(labels), groups=groups, weights=weights, seed=seed)
    drawn: dict[str, Any] = {"groups": groups, "weights": weights, "seed": seed}
    rows = [
        _against(label, y == number, decided == number, served[:, number], recalls[number], spec, drawn)
        for number, label in enumerate(labels)
    ]
    cuts = []
    for number in range(1, len(labels)):
        mine, decided_so = y >= number, decided >= number
        recall, risk = _share(decided_so, mine, **drawn), served[:, number:].sum(axis=1)
        cuts.append(_against(f"at least {labels[number]}", mine, decided_so, risk, recall, spec, drawn))
    decision = _decision(y, served, decided, spec, groups=groups, weights=weights)
    return {"classes": rows, "cuts": cuts, "confusion": table.tolist(), **decision}


def _against(
    label: str,
    mine: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    risk: FloatArray,
    recall: Estimate | str,
    spec: CohortSpec,
    drawn: dict[str, Any],
) -> dict[str, Any]:
    """One class, or one level and those above it, against the other rows (n,)."""
    own, metrics, missing = mine.astype(np.int64), dict[str, Any](), dict[str, str]()
    found = evaluate(
        own,
        risk,
        decisions=spec.decisions,
        n_resamples=_RESAMPLES,
        leave_out=frozenset({"auprc", "ici", "curves"}),
        **drawn,
    )
    for name in SHOWN:
        if name in found.metrics:
            metrics[name] = plain(found.metrics[name])
        else:
            missing[name] = found.insufficient[name]
    for name, one in (("recall", recall), ("precision", _share(mine, decided, **drawn))):
        if isinstance(one, Estimate):
            metrics[name] = plain(one)
        else:
            missing[name] = one
    counts = {"n": int(own.sum()), "decided": int(decided.sum())}
    return {"class": label, **counts, "metrics": metrics, "insufficient": missing}


def class_recalls(
    y: IntArray,
    decided: IntArray,
    *,
    n_classes: int,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
) -> list[Estimate | str]:
    """Share of each class's rows that were decided for it, Wilson or by resampling subjects; the reason where none is.

    Parameters and shapes as in `class_performance`.
    """
    groups = drawn_units(y.size, groups, weights)
    return [
        _share(decided == number, y == number, groups=groups, weights=weights, seed=seed) for number in range(n_classes)
    ]


def _share(
    hit: NDArray[np.bool_],
    of: NDArray[np.bool_],
    *,
    groups: IntArray | None,
    weights: FloatArray | None,
    seed: int,
) -> Estimate | str:
    """Share of the rows that count which are hits, or the reason why there is none."""
    if not of.any():
        return "no row to divide by"
    if groups is None:
        return proportion(int((hit & of).sum()), int(of.sum()))
    top, bottom = (hit & of).astype(np.float64), of.astype(np.float64)
    try:
        return resampled(ratio(top, bottom), of.astype(np.int64), groups, seed, _RESAMPLES, weights=weights)()
    except InsufficientData as error:
        return error.message


def _decision(
    y: IntArray,
    served: FloatArray,
    decided: IntArray,
    spec: CohortSpec,
    *,
    groups: IntArray | None,
    weights: FloatArray | None,
) -> dict[str, Any]:
    costs, unit, k = spec.decisions.class_costs, spec.decisions.costs.unit, len(spec.target.classes)
    if costs is None:
        return {"rule": "likeliest class", "costs": None, "unit": unit}
    matrix, seed = np.asarray(costs.matrix), spec.modelling.search.seed
    alike = int(np.average(matrix[y], axis=0, weights=weights).argmin())

    def mean(decisions: IntArray) -> Any:
        each, right = matrix[y, decisions], (decisions == y).astype(np.int64)
        if groups is None:
            return plain(mean_estimate(each, np.ones(y.size), events=float(right.sum())))
        return plain(resampled(ratio(each, np.ones(y.size)), right, groups, seed, _RESAMPLES, weights=weights)())

    return {
        "rule": "least expected cost",
        "costs": matrix.tolist(),
        "unit": unit,
        "rationale": costs.rationale,
        "mean_cost": mean(decided),
        "likeliest": mean(cheapest_class(served, equal_costs(k))),
        "constant": {"class": spec.target.classes[alike], **mean(np.full(y.size, alike))},
    }
