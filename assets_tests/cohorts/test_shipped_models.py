"""On every real cohort the nested estimate is what a plain scikit-learn script on the same folds gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assets_tests.worlds.tables.shipped import CATALOGUE, representatives
from assets_tests.worlds.ward.bundle_facts import made_up_facts
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.leakage.leakage import find_leaks, find_model_leaks, refuse_leaks
from clinical_assets.modelling.search.search import nested
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput, model_input
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.statistics.discrimination.discrimination import auroc
from clinical_assets.warehouse.features.feature_table import load_feature_table

if TYPE_CHECKING:
    from pathlib import Path

    from assets_tests.worlds.tables.shipped import Built

pytestmark = pytest.mark.slow

# A cohort of files that everybody gets for themselves has no real records here.
COHORTS = [
    name for name in representatives() if not (CATALOGUE.spec(name).synthetic or CATALOGUE.spec(name).data.stand_in)
]


@pytest.mark.parametrize("name", COHORTS)
def test_the_nested_auroc_is_within_the_interval_around_a_plain_script(
    name: str, built: Callable[[str], Built]
) -> None:
    cohort = built(name)
    table = load_feature_table(cohort.warehouse, cohort.spec)
    data = model_input(table, cohort.spec)
    split = split_holdout(data.frame, subject=table.subject, share=cohort.spec.modelling.holdout_share)
    train = data.rows(split.train)
    modelling = cohort.spec.modelling
    modelling = modelling.model_copy(update={"search": modelling.search.model_copy(update={"trials": 3})})
    ours = nested(["logistic_ridge"], train, modelling=modelling)["logistic_ridge"]

    folds = StratifiedKFold(modelling.search.outer_folds, shuffle=True, random_state=modelling.search.seed)
    plain = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=2000),
    )
    event = train.y >= cohort.spec.target.action_from
    expected = roc_auc_score(event, cross_val_predict(plain, train.X, event, cv=folds, method="predict_proba")[:, 1])
    estimate = auroc(event.astype(int), action_risk(ours.risk, action_from=cohort.spec.target.action_from))
    assert estimate.ci_low <= expected <= estimate.ci_high
    # The interval is wide for small cohorts; a wrong join or a shifted outcome would be farther off than this.
    assert abs(estimate.value - expected) < 0.04


@pytest.mark.parametrize("name", COHORTS)
def test_no_shipped_cohort_has_a_feature_that_knows_its_outcome(name: str, built: Callable[[str], Built]) -> None:
    cohort = built(name)
    table = load_feature_table(cohort.warehouse, cohort.spec)
    raw = cohort.query(f'SELECT * FROM validated."{cohort.spec.subject_table}"')
    lineage = cohort.project.lineage(cohort.project.feature_model)
    leaks = find_leaks(table, cohort.spec, raw_frame=raw, lineage=lineage)
    refuse_leaks(leaks, cohort=name)
    assert [leak.column for leak in leaks if leak.action != "warn"] == []


@pytest.mark.parametrize("name", COHORTS)
def test_no_candidate_of_a_shipped_cohort_owes_its_rank_to_a_few_columns(
    name: str, built: Callable[[str], Built]
) -> None:
    cohort = built(name)
    table = load_feature_table(cohort.warehouse, cohort.spec)
    data = model_input(table, cohort.spec)
    split = split_holdout(data.frame, subject=table.subject, share=cohort.spec.modelling.holdout_share)
    train, modelling = data.rows(split.train), cohort.spec.modelling
    for candidate in ("logistic_ridge", "lightgbm"):

        def score(rest: ModelInput, candidate: str = candidate) -> FloatArray:
            return nested([candidate], rest, modelling=modelling, fixed=start(candidate, rest.n))[candidate].risk

        assert find_model_leaks(train, cohort.spec, candidate, score(train), score) == ()


@pytest.mark.parametrize("name", COHORTS)
def test_onnx_equals_the_fitted_pipeline_and_reasons_add_up_to_the_score(
    name: str, built: Callable[[str], Built], tmp_path: Path
) -> None:
    from clinical_assets.modelling.search.fitting import fit_final
    from clinical_assets.statistics.calibration.logistic import logit

    cohort = built(name)
    data = model_input(load_feature_table(cohort.warehouse, cohort.spec), cohort.spec)
    modelling = cohort.spec.modelling
    modelling = modelling.model_copy(update={"search": modelling.search.model_copy(update={"trials": 1})})
    for candidate in ("logistic_ridge", "lightgbm", "xgboost"):
        model, _ = fit_final(candidate, data, modelling=modelling)
        bundle = Bundle.write(tmp_path / candidate, model, X=data.X, statement="SELECT 1", facts=made_up_facts(name))
        served = bundle.score(data.X)
        assert np.abs(served - model.predict_proba(data.X)).max() < 1e-5
        told = bundle.explain(data.X[:50])
        assert np.abs(told.base + told.contributions.sum(axis=1) - logit(served[:50])).max() < 1e-4
