"""A published formula competes as printed: never refitted, the same in its graph, recalibrated where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assets_tests.worlds.descriptions import decisions
from clinical_assets.cohorts.decisions import Decisions, Modelling
from clinical_assets.cohorts.external.published import Published
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.modelling.bundle.graph.onnx_graph import FEATURES, build_graph
from clinical_assets.modelling.bundle.scorer import session_of
from clinical_assets.modelling.search.candidates import raw_risk
from clinical_assets.modelling.search.fitting import fit_final
from clinical_assets.modelling.search.kinds import refuse_unknown
from clinical_assets.modelling.search.published import Formula, candidate_type
from clinical_assets.modelling.search.recalibration import IDENTITY
from clinical_assets.modelling.search.search import nested
from clinical_assets.modelling.search.selection import select
from clinical_assets.modelling.table.inputs import ModelInput, UnusableTable
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.modelling.table.sample_size import state_sample_size

COLUMNS = ("age_years", "is_male", "marker", "unused")
SOURCE = {"source": "Made up for tests.", "population": "Nobody.", "outcome": "Death in hospital."}
LOGISTIC: dict[str, Any] = {
    **SOURCE,
    "form": "logistic",
    "equations": [
        {
            "when": {"is_male": 1},
            "intercept": -6,
            "terms": [
                {"feature": "age_years", "coefficient": 0.08, "lowest": 40, "highest": 80},
                {"feature": "marker", "transform": "log", "lowest": 0.1, "coefficient": 0.9},
            ],
        },
        {
            "intercept": -3,
            "terms": [
                {"feature": "marker", "transform": "square_root", "lowest": 0.1, "only_if": {"is_male": 0}},
                {"feature": "marker", "transform": "inverse", "lowest": 0.1, "coefficient": -0.05},
                {"feature": "age_years", "transform": "square", "coefficient": 1e-4},
            ],
        },
    ],
}
COX: dict[str, Any] = {
    **SOURCE,
    "form": "cox",
    "equations": [
        {"baseline_survival": 0.9, "mean": 4.5, "terms": [{"feature": "age_years", "coefficient": 0.08}]},
    ],
}
POINTS: dict[str, Any] = {
    **SOURCE,
    "form": "points",
    "equations": [
        {
            "terms": [
                {
                    "feature": "age_years",
                    "bands": [{"from": 0, "value": 0}, {"from": 65, "value": 2}, {"from": 75, "value": 3}],
                },
                {"feature": "is_male", "coefficient": 1},
            ]
        }
    ],
    "risks": [{"from": 0, "value": 0.02}, {"from": 2, "value": 0.1}, {"from": 4, "value": 0.3}],
}
FORMS = {"logistic": LOGISTIC, "cox": COX, "points": POINTS}


def modelling(published: dict[str, Any] = LOGISTIC, **changes: Any) -> Modelling:
    search = {"trials": 2, "inner_folds": 2, "outer_folds": 3, "seed": 11}
    names = {"candidates": ["printed", "printed_recalibrated", "logistic_ridge"]}
    return Modelling.model_validate({**names, "search": search, "published": {"printed": published}, **changes})


@pytest.fixture(scope="module")
def data() -> ModelInput:
    """600 people whose risk is twice the odds that the printed formula gives; one in twenty markers is missing."""
    rng = np.random.default_rng(4)
    X = np.column_stack(
        [rng.uniform(30, 90, 600), rng.integers(0, 2, 600), rng.uniform(0.2, 8, 600), rng.normal(size=600)]
    )
    printed = formula(LOGISTIC).risk(X)
    y = (rng.random(600) < 2 * printed / (1 + printed)).astype(np.int64)
    X[rng.random(600) < 0.05, 2] = np.nan
    return ModelInput(pl.DataFrame({"row": np.arange(600)}), X, y, np.arange(600), COLUMNS, ("alive", "dead"))


def formula(published: dict[str, Any]) -> Formula:
    return Formula(Published.model_validate(published), {name: place for place, name in enumerate(COLUMNS)})


def test_the_framingham_office_model_gives_the_risk_of_its_printed_arithmetic() -> None:
    published = Catalogue(folders=(SHIPPED,)).spec("framingham_chd").modelling.published["framingham_office"]
    person = {
        "is_male": 1.0,
        "age_years": 53.0,
        "bmi_kg_m2": 30.0,
        "systolic_bp_mmhg": 125.0,
        "is_bp_treated": 1.0,
        "is_smoker": 1.0,
        "is_diabetic": 0.0,
    }
    by_hand = 3.11296 * np.log(53) + 0.79277 * np.log(30) + 1.92672 * np.log(125) + 0.70953
    made = Formula(published, {name: place for place, name in enumerate(person)})
    assert made.risk(np.array([list(person.values())]))[0] == pytest.approx(1 - 0.88431 ** np.exp(by_hand - 23.9388))


def test_points_add_up_to_the_risk_of_their_band() -> None:
    people = np.array([[64.0, 0, 1, 0], [65, 0, 1, 0], [75, 1, 1, 0], [-3, 1, 1, 0]])
    assert formula(POINTS).risk(people).tolist() == [0.02, 0.1, 0.3, 0.02]


@pytest.mark.parametrize("form", FORMS)
@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_the_graph_computes_what_the_formula_computes(form: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(20, 100, 50), rng.integers(0, 2, 50), rng.uniform(0, 9, 50), np.zeros(50)])
    kind = candidate_type("printed", modelling(FORMS[form]), COLUMNS)
    estimator = kind.model({}, 2, 0).fit(X, np.arange(50) % 2)
    same = Preparation(4, None, False, np.arange(4), np.zeros(4), np.ones(4))
    graph = build_graph(estimator, same, IDENTITY, floor=kind.floor, n_classes=2)
    (risk,) = session_of(graph.SerializeToString()).run(None, {FEATURES: X})
    wanted = IDENTITY.apply(raw_risk(estimator.predict_proba(X), floor=kind.floor))
    np.testing.assert_allclose(risk, wanted, rtol=1e-12, atol=1e-12)


def test_a_formula_is_served_as_printed_and_beside_it_recalibrated(data: ModelInput) -> None:
    printed, _ = fit_final("printed", data, modelling=modelling())
    known = ~np.isnan(data.X).any(axis=1)
    np.testing.assert_allclose(printed.predict_proba(data.X[known]), formula(LOGISTIC).risk(data.X[known]), rtol=1e-9)
    recalibrated, tuned = fit_final("printed_recalibrated", data, modelling=modelling())
    assert len(tuned.trials) == 1
    np.testing.assert_array_equal(recalibrated.raw_risk(data.X), printed.raw_risk(data.X))
    assert recalibrated.predict_proba(data.X).mean() == pytest.approx(data.y.mean(), abs=0.01)
    assert printed.predict_proba(data.X).mean() < 0.8 * data.y.mean()
    assert (printed.n_parameters, recalibrated.n_parameters) == (0, 2)


def test_a_formula_competes_on_the_same_folds_and_wins_a_tie(data: ModelInput) -> None:
    terms = modelling(imbalance=["class_weight", "none"])
    estimates = nested(terms.candidates, data, modelling=terms)
    assert {tuned.imbalance for tuned in estimates["printed"].tuned} == {"none"}
    assert {len(tuned.trials) for tuned in estimates["printed"].tuned} == {1}
    np.testing.assert_array_equal(estimates["printed"].raw, estimates["printed_recalibrated"].raw)
    costs = Decisions.model_validate(decisions()).costs
    same = dict.fromkeys(("logistic_ridge", "printed_recalibrated"), estimates["printed_recalibrated"].risk)
    assert select(same, data.y, criterion="brier", costs=costs).selected == "printed_recalibrated"


def test_a_validated_formula_is_asked_for_a_hundred_of_each_outcome() -> None:
    enough, few = (state_sample_size(n=1000, events=events, n_parameters=0, auroc=0.7) for events in (100, 99))
    assert (enough.is_met, enough.required, few.is_met, few.required) == (True, 1000, False, 1011)
    assert "nothing was fitted" in few.statement


def test_a_feature_that_is_not_there_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnusableTable, match="printed reads age_years, marker") as caught:
        candidate_type("printed", modelling(), ("age_year", "is_male"))
    assert caught.value.cure is not None
    assert "Did you mean age_year?" in caught.value.cure


def test_a_candidate_that_is_neither_registered_nor_published_is_refused(
    minimal: dict[str, Any], tmp_path: Path
) -> None:
    minimal["modelling"] = {"candidates": ["printed_recalibrated", "print"], "published": {"printed": LOGISTIC}}
    path = tmp_path / "small_cohort.yaml"
    path.write_text("modelling:\n  candidates:\n    - printed_recalibrated\n    - print\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r":4: modelling\.candidates\.1: there is no candidate 'print'") as caught:
        refuse_unknown(CohortSpec.model_validate(minimal), path)
    assert caught.value.cure is not None
    assert "`printed`" in caught.value.cure


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"equations": [{"when": {"is_male": 1}, "terms": [{"feature": "marker"}]}]},
            "the last equation holds for all",
        ),
        ({"form": "cox"}, "needs `baseline_survival`"),
        ({"form": "points"}, "form points needs `risks`"),
        ({"risks": [{"from": 0, "value": 0.1}]}, "no other form has them"),
        ({"equations": [{"terms": [{"feature": "marker", "transform": "log"}]}]}, "needs `lowest` above 0"),
        (
            {
                "equations": [
                    {"terms": [{"feature": "marker", "bands": [{"from": 2, "value": 1}, {"from": 2, "value": 0}]}]}
                ]
            },
            "do not rise",
        ),
    ],
)
def test_a_formula_that_cannot_be_computed_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Published.model_validate(LOGISTIC | change)


def test_a_description_without_formulas_keeps_its_plain_form() -> None:
    assert "published" not in Modelling().model_dump(mode="json")
