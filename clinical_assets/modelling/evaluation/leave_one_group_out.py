"""Leave one group out: would the procedure have worked at a hospital that it had not seen?

Source: internal-external validation, Steyerberg & Harrell 2016, doi 10.1016/j.jclinepi.2015.04.005.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.subgroups import UNKNOWN, SampleKind, SubgroupRow, subgroup_row
from clinical_assets.modelling.search import candidates, recalibration
from clinical_assets.modelling.search.fitting import FittedModel
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.search import fit_setting, tune
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.modelling.table.splits import outer_folds

if TYPE_CHECKING:
    import polars as pl


def left_out_rows(
    train: ModelInput, labels: pl.Series, model: FittedModel, spec: CohortSpec
) -> tuple[SubgroupRow, ...]:
    """Refit the model's setting without one group and judge it on that group, for every group.

    Parameters
    ----------
    train : ModelInput
        Training rows; the holdout stays locked.
    labels : polars.Series of length n
        Group of each row; null is "unknown".
    model : FittedModel
        Gives candidate, parameters and imbalance strategy; recalibration is fitted anew on the other groups.
    spec : CohortSpec
        The cohort's description.

    Returns
    -------
    tuple of SubgroupRow
        Two per group. Sample "left_out" as a new group would get the model; "left_out_recalibrated" after intercept
        and slope were fitted on one half of the group and judged on the other, both ways round, so that every row is
        judged by a map that has not seen it. Insufficient where the group, or what is left without it, is too small.
    """
    groups = labels.cast(str).fill_null(UNKNOWN).to_numpy()
    found = [
        _left_out(train, groups == label, str(labels.name), str(label), model, spec) for label in np.unique(groups)
    ]
    return tuple(row for rows in found for row in rows)


def _left_out(
    train: ModelInput, mine: np.ndarray, attribute: str, group: str, model: FittedModel, spec: CohortSpec
) -> tuple[SubgroupRow, ...]:
    modelling = spec.modelling.model_copy(update={"imbalance": (model.imbalance,)})
    # A subject that was seen in several groups is in neither part.
    others = ~mine & ~np.isin(train.groups, train.groups[mine])
    judged = train.rows(mine)
    event = (judged.y >= spec.target.action_from).astype(np.int64)
    n, events = judged.n, int(event.sum())
    try:
        seen = train.rows(others)
        seen.refuse_missing_classes(where=f"training (without {group})")
        tuned = tune(model.name, seen, modelling=modelling, fixed=model.parameters)
        kind = candidate_type(model.name, modelling, seen.feature_columns)
        pipeline = fit_setting(kind, model.parameters, model.imbalance, seen, seed=modelling.search.seed)
    except InsufficientData as error:
        reason = f"the other groups cannot train a model: {error.message}"
        return (SubgroupRow("left_out", attribute, group, n, events, "insufficient", reason, {}),)
    risk = tuned.recalibration.apply(candidates.raw_risk(pipeline.predict_proba(judged.X), floor=model.floor))
    risk = action_risk(risk, action_from=spec.target.action_from)

    def row(sample: SampleKind, risk: FloatArray) -> SubgroupRow:
        return subgroup_row(
            event,
            risk,
            sample=sample,
            attribute=attribute,
            group=group,
            decisions=spec.decisions,
            action_from=1,
            groups=judged.clusters,
            weights=judged.weights,
            seed=modelling.search.seed,
        )

    as_it_is = row("left_out", risk)
    if as_it_is.status != "ok":
        return (as_it_is,)
    try:
        updated = _updated_by_halves(judged, event, risk, seed=modelling.search.seed)
    except InsufficientData as error:
        reason = f"its halves cannot be recalibrated: {error.message}"
        return as_it_is, SubgroupRow("left_out_recalibrated", attribute, group, n, events, "insufficient", reason, {})
    return as_it_is, row("left_out_recalibrated", updated)


def _updated_by_halves(judged: ModelInput, event: IntArray, risk: FloatArray, *, seed: int) -> FloatArray:
    """Risks (n,) of one group, those of each half mapped by intercept and slope of the other."""
    updated = np.empty(judged.n)
    halves = outer_folds(event, judged.groups, n_splits=2, seed=seed, what="recalibration")
    for seen, other in halves:
        weights = None if judged.weights is None else judged.weights[seen]
        updated[other] = recalibration.fit(event[seen], risk[seen], weights).apply(risk[other])
    return updated
