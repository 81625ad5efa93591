"""Whether a candidate's graph says what its library says, tried before a search of hours is paid for.

What belongs here: one quick fit per candidate, and its comparison with its ONNX graph. A sealed bundle is compared
again, on the fitted model itself.
"""

from __future__ import annotations

import numpy as np

from clinical_assets.cohorts.decisions import Modelling
from clinical_assets.modelling.bundle.graph.onnx_graph import FEATURES, build_graph
from clinical_assets.modelling.bundle.scorer import require_equal, session_of
from clinical_assets.modelling.search.candidates import raw_risk, strategies, without_sampler
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.search import fit_setting
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.preparation import Preparation

#: Rows that are fitted on; all rows are compared.
FITTED_ROWS = 2_000


def rehearse_export(train: ModelInput, modelling: Modelling) -> None:
    """Fit every candidate once with its first setting, and compare it with its graph on all training rows.

    Parameters
    ----------
    train : ModelInput
        Training rows, none of the holdout.
    modelling : Modelling
        Candidates, imbalance strategies and seed.

    Raises
    ------
    BundleError
        A graph and its library disagree; names the candidate.
    """
    n_classes = len(train.classes)
    rng = np.random.default_rng(modelling.search.seed)
    chosen = np.sort(rng.permutation(train.n)[:FITTED_ROWS])
    if np.unique(train.y[chosen]).size < n_classes:
        chosen = np.arange(train.n)  # a rare class needs all rows
    same = Recalibration((0.0,) * (n_classes - 1), (1.0,) * (n_classes - 1))
    some = train.rows(np.isin(np.arange(train.n), chosen))
    for name in dict.fromkeys(modelling.candidates):
        kind = candidate_type(name, modelling, some.feature_columns)
        imbalance, seed = strategies(kind, modelling.imbalance)[0], modelling.search.seed
        fitted = fit_setting(kind, start(kind, some.n), imbalance, some, seed=seed)
        pipeline = without_sampler(fitted)
        graph = build_graph(
            pipeline[-1],
            Preparation.of(pipeline, n_features=train.X.shape[1]),
            same,
            floor=kind.floor,
            n_classes=n_classes,
        )
        (risk,) = session_of(graph.SerializeToString()).run(None, {FEATURES: train.X})
        require_equal(name, same.apply(raw_risk(pipeline.predict_proba(train.X), floor=kind.floor)), np.asarray(risk))
