"""What the explorer looks at: out-of-fold risks of the training rows, and what a threshold does to them.

The holdout is not here. Whoever moves a threshold until it looks well chooses by the rows that are looked at, and the
holdout's estimate would no longer be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.tables import GROUP_PREFIX
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.trainings.reference import case_weights, read_reference
from clinical_assets.statistics.calibration.smooth_calibration import CalibrationPlot, calibration_plot
from clinical_assets.statistics.decisions.net_benefit import DecisionCurve, decision_curve, expected_cost, net_benefit
from clinical_assets.statistics.discrimination.classification import ThresholdMetrics, threshold_metrics
from clinical_assets.statistics.discrimination.discrimination import auroc
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.workspace import CohortHandle

#: Everybody, instead of a group.
ALL = "all"
#: Resamples of the decision curve's bands: enough for a look, quick enough to follow a slider.
RESAMPLES = 200


@dataclass(frozen=True)
class ExploredModel:
    """The newest training of a cohort, as the explorer needs it.

    Attributes
    ----------
    title : str
        Of the cohort; says where the records are synthetic.
    digest : str
        Of the bundle.
    synthetic : bool
        Whether the records were made by a generator.
    y : array of shape (n,), 0 or 1
        Outcomes of the training rows; 1 is class ``action_from`` or a more severe one.
    risk : array of shape (n,)
        Out-of-fold risks.
    weights : array of shape (n,) or None
        Case weights over their mean.
    groups : mapping
        Group such as ``sex=female`` to a mask of shape (n,).
    features : polars.DataFrame
        Of the same rows, without anything that names a person.
    threshold, c_fp, c_fn : float
        As the model was made.
    """

    title: str
    digest: str
    synthetic: bool
    y: FloatArray
    risk: FloatArray
    weights: FloatArray | None
    groups: Mapping[str, np.ndarray]
    features: pl.DataFrame
    threshold: float
    c_fp: float
    c_fn: float

    def mask(self, group: str) -> np.ndarray:
        """Rows of a group, or all."""
        return np.ones(self.y.size, dtype=bool) if group == ALL else self.groups[group]


@dataclass(frozen=True)
class ThresholdLook:
    """What a threshold does among the rows of a group.

    Attributes
    ----------
    n, events : int
        Rows, and events among them.
    at : ThresholdMetrics
        The two-by-two table and its rates.
    area, benefit, cost : Estimate
        AUROC, net benefit, mean cost per person.
    curve : DecisionCurve
        Net benefit over thresholds.
    calibration : CalibrationPlot or None
        None where the rows are too few.
    insufficient : str or None
        Why there is no calibration.
    """

    n: int
    events: int
    at: ThresholdMetrics
    area: Estimate
    benefit: Estimate
    cost: Estimate
    curve: DecisionCurve
    calibration: CalibrationPlot | None
    insufficient: str | None


def explored_model(cohort: CohortHandle) -> ExploredModel:
    """Read the newest training of a cohort.

    Raises
    ------
    NoTraining
        There is none.
    ReferenceMissing
        Its rows are not in the warehouse.
    BundleError
        The bundle is not as it was written.
    """
    training = cohort.training()
    bundle = training.bundle()
    with cohort.warehouse.reader() as connection:
        rows = read_reference(connection, bundle.digest, part="train")
    costs = cohort.spec.decisions.costs
    groups = {
        f"{column.removeprefix(GROUP_PREFIX)}={value}": (rows[column] == value).fill_null(value=False).to_numpy()
        for column in rows.columns
        if column.startswith(GROUP_PREFIX)
        for value in sorted(rows[column].drop_nulls().unique().to_list())
    }
    return ExploredModel(
        title=cohort.spec.title,
        digest=bundle.digest,
        synthetic=cohort.spec.synthetic,
        y=(rows["outcome"].to_numpy() >= bundle.description.action_from).astype(np.float64),
        risk=rows["risk"].to_numpy().astype(np.float64),
        weights=case_weights(rows, bundle.feature_columns),
        groups=groups,
        features=rows.select(bundle.feature_columns),
        threshold=bundle.description.threshold,
        c_fp=costs.false_positive,
        c_fn=costs.false_negative,
    )


def look(model: ExploredModel, *, threshold: float, group: str, c_fp: float, c_fn: float) -> ThresholdLook:
    """What a threshold does in a group, at these costs.

    Raises
    ------
    InsufficientData
        The group lacks a class.
    """
    mine = model.mask(group)
    y, risk = model.y[mine], model.risk[mine]
    weights = None if model.weights is None else model.weights[mine]
    calibration, insufficient = None, None
    try:
        calibration = calibration_plot(y, risk, weights=weights)
    except InsufficientData as error:
        insufficient = error.message
    highest = float(np.clip(2 * max(threshold, model.threshold), 0.1, 0.99))
    return ThresholdLook(
        n=int(y.size),
        events=int(y.sum()),
        at=threshold_metrics(y, risk, threshold=threshold, weights=weights),
        area=auroc(y, risk, weights=weights),
        benefit=net_benefit(y, risk, threshold=threshold, weights=weights),
        cost=expected_cost(y, risk, threshold=threshold, c_fp=c_fp, c_fn=c_fn, weights=weights),
        curve=decision_curve(
            y, risk, thresholds=np.linspace(0.01, highest, 60), weights=weights, n_resamples=RESAMPLES
        ),
        calibration=calibration,
        insufficient=insufficient,
    )


def cases_at(model: ExploredModel, *, threshold: float, group: str, most: int = 50) -> pl.DataFrame:
    """The people whom a small move of the threshold would change: nearest to it first, without a name.

    Returns
    -------
    polars.DataFrame
        ``risk``, ``alert``, ``event`` and the features of at most so many rows.
    """
    import polars as pl

    mine = model.mask(group)
    shown = pl.DataFrame({"risk": model.risk[mine], "event": model.y[mine] == 1}).with_columns(
        (pl.col("risk") >= threshold).alias("alert")
    )
    beside = pl.concat(
        [shown.select("risk", "alert", "event"), model.features.filter(pl.Series(mine))], how="horizontal"
    )
    return beside.sort((pl.col("risk") - threshold).abs(), maintain_order=True).head(most)
