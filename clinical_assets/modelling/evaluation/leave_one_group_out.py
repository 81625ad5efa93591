"""Leave one group out: would the procedure have worked at a hospital that it had not seen?

Source: internal-external validation, Steyerberg & Harrell 2016, doi 10.1016/j.jclinepi.2015.04.005.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.evaluation.subgroups import UNKNOWN, SubgroupRow, subgroup_row
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.fitting import FittedModel
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.search import fit_setting, tune
from clinical_assets.modelling.table.inputs import ModelInput

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
        With sample "left_out"; insufficient where the group, or what is left without it, is too small.
    """
    groups = labels.cast(str).fill_null(UNKNOWN).to_numpy()
    return tuple(
        _left_out(train, groups == label, str(labels.name), str(label), model, spec) for label in np.unique(groups)
    )


def _left_out(
    train: ModelInput, mine: np.ndarray, attribute: str, group: str, model: FittedModel, spec: CohortSpec
) -> SubgroupRow:
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
        return SubgroupRow("left_out", attribute, group, n, events, "insufficient", reason, {})
    risk = tuned.recalibration.apply(candidates.raw_risk(pipeline.predict_proba(judged.X), floor=model.floor))
    return subgroup_row(
        judged.y,
        risk,
        sample="left_out",
        attribute=attribute,
        group=group,
        decisions=spec.decisions,
        action_from=spec.target.action_from,
        groups=judged.clusters,
        weights=judged.weights,
        seed=modelling.search.seed,
    )
