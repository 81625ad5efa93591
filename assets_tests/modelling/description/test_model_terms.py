"""The terms on the card are the model: whoever computes with them gets the served risks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets_tests.worlds.tables.survival import followed_up, survival_spec
from assets_tests.worlds.ward.bundle_facts import made_up_facts
from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.contributions import Explanation
from clinical_assets.modelling.description.model_terms import direction_in_words, directions, model_terms
from clinical_assets.modelling.search.fitting import fit_final
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.warehouse.features.feature_table import load_feature_table
from clinical_assets.warehouse.store.warehouse import Warehouse


def test_a_risk_computed_by_hand_from_the_terms_is_the_one_that_is_served(trained_ward: Trained) -> None:
    spec, bundle = trained_ward.catalogue.spec(COHORT), trained_ward.training.bundle()
    frame = load_feature_table(Warehouse(COHORT, trained_ward.settings), spec).frame
    terms = model_terms(bundle)
    imputed = {each["feature"]: each["imputed"] for each in terms["preparation"]}
    log_odds = np.full(frame.height, terms["intercept"])
    for term in terms["terms"]:
        column = frame[term["feature"]]
        values = column.is_null().cast(float) if term["is_flag"] else column.fill_null(imputed[term["feature"]])
        log_odds += term["coefficient"] * values.to_numpy()
    served = bundle.score(features_of(frame, bundle.feature_columns))
    assert np.abs(1 / (1 + np.exp(-log_odds)) - served).max() < 1e-9
    assert frame["marker_a"].null_count() > 0
    assert any(term["is_flag"] for term in terms["terms"])


def test_a_risk_computed_by_hand_from_hazard_ratios_is_the_one_that_is_served(tmp_path: Path) -> None:
    data = followed_up(300, seed=3, missing=0.1)
    model, _ = fit_final("cox_ridge", data, modelling=survival_spec().modelling)
    bundle = Bundle.write(tmp_path / "bundle", model, X=data.X, statement="SELECT 1", facts=made_up_facts(), run={})
    terms = model_terms(bundle)
    assert terms["scale"] == "log_hazard"
    places = {name: place for place, name in enumerate(data.feature_columns)}
    filled = np.where(np.isnan(data.X), [each["imputed"] for each in terms["preparation"]], data.X)
    hazard = np.full(data.n, terms["intercept"])
    for term in terms["terms"]:
        place = places[term["feature"]]
        hazard += term["coefficient"] * (np.isnan(data.X) if term["is_flag"] else filled)[:, place]
    assert any(term["is_flag"] for term in terms["terms"])
    served = model.recalibration.apply(1 - np.exp(-np.exp(hazard)))
    assert np.abs(served - bundle.score(data.X)).max() < 1e-9


def test_results_hold_terms_and_directions_as_the_world_was_made(trained_ward: Trained) -> None:
    results = trained_ward.training.results
    assert results.plain()["model_terms"]["terms"] == model_terms(trained_ward.training.bundle())["terms"]
    assert direction_in_words(results.directions["marker_a"]) == "higher value, higher risk"
    assert direction_in_words(results.directions["marker_b"]) == "higher value, lower risk"


def test_a_feature_that_never_changes_and_one_that_pulls_both_ways_have_no_direction() -> None:
    x = np.linspace(-1, 1, 101)
    features = np.column_stack([x, np.ones_like(x), x, np.where(x < 0, np.nan, x)])
    shares = np.column_stack([x**2, np.zeros_like(x), -3 * x, 2 * x])
    found = directions(Explanation(0.0, shares, shares.sum(axis=1), "-"), features, ("both", "still", "down", "gaps"))
    assert found["still"] is None
    assert abs(found["both"] or 0) < 0.1
    assert (found["down"], found["gaps"]) == (pytest.approx(-1), pytest.approx(1))
