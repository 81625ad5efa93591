"""Published formulas of the catalogue give the risks of their papers, and those that their own tools show."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_assets.cohorts.external.published import Published
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.modelling.search.published import Formula

CATALOGUE = Catalogue(folders=(SHIPPED,))
#: Where PLCOm2012 is centred, with as many cigarettes as leave their term out.
CENTRE = {
    "age_years": 62.0,
    "education": 4.0,
    "bmi_kg_m2": 27.0,
    "has_copd": 0.0,
    "had_malignancy": 0.0,
    "is_family_affected": 0.0,
    "smoking_is_current": 0.0,
    "cigarettes_per_day": 10 / 0.4021541613,
    "years_smoked": 27.0,
    "years_since_stopped": 10.0,
}
#: A woman of the tool: age, menarche, class of the first birth, relatives; and its risk in percent, rounded to a tenth.
SHOWN = [
    ((40, 13, 2, 0), 0.6),
    ((45, 13, 2, 0), 0.9),
    ((45, 13, 4, 0), 0.9),
    ((45, 13, 2, 2), 2.9),
    ((50, 13, 2, 0), 1.1),
    ((50, 11, 2, 0), 1.2),
    ((52, 13, 3, 0), 1.5),
    ((54, 15, 1, 0), 0.9),
    ((60, 13, 2, 0), 1.6),
    ((65, 13, 2, 2), 5.7),
    ((70, 13, 2, 0), 1.9),
    ((75, 11, 2, 0), 2.2),
    ((75, 13, 2, 2), 6.1),
]


def published(cohort: str, name: str) -> Published:
    return CATALOGUE.spec(cohort).modelling.published[name]


def risk(formula: Published, person: dict[str, float]) -> float:
    made = Formula(formula, {name: place for place, name in enumerate(person)})
    return float(made.risk(np.array([list(person.values())]))[0])


@pytest.mark.parametrize(
    ("change", "log_odds"),
    [
        ({}, 0.0),
        ({"age_years": 72.0}, 0.778868),
        ({"has_copd": 1.0, "smoking_is_current": 1.0}, 0.3553063 + 0.2597431),
        ({"cigarettes_per_day": 20.0}, -1.822606 * (0.5 - 0.4021541613)),
        ({"years_smoked": 37.0, "years_since_stopped": 0.0}, 0.317321 + 0.308572),
        ({"education": 1.0, "bmi_kg_m2": 22.0, "is_family_affected": 1.0}, 0.2438232 + 0.137097 + 0.587185),
    ],
)
def test_plcom2012_is_its_table_of_centred_terms(change: dict[str, float], log_odds: float) -> None:
    found = risk(published("lung_cancer_screening", "plcom2012"), {**CENTRE, **change})
    assert found == pytest.approx(1 / (1 + np.exp(4.532506 - log_odds)), rel=1e-5)


@pytest.mark.parametrize(("woman", "percent"), SHOWN)
def test_gail_agrees_with_the_breast_cancer_risk_assessment_tool(woman: tuple[int, ...], percent: float) -> None:
    age, menarche, birth, relatives = woman
    person = {
        "age_years": float(age),
        "is_fifty_or_older": float(age >= 50),
        "biopsies": 0.0,
        "menarche_age": float(menarche),
        "first_birth": float(birth),
        "relatives": float(relatives),
    }
    assert 100 * risk(published("breast_cancer_screening", "gail"), person) == pytest.approx(percent, abs=0.06)


def test_the_index_of_lymphoma_gives_death_within_two_years_by_its_four_groups() -> None:
    formula = published("dlbcl_survival", "international_prognostic_index")
    risks = [risk(formula, {"ipi": float(points)}) for points in range(6)]
    assert risks == pytest.approx([1 - 0.84, 1 - 0.84, 1 - 0.66, 1 - 0.54, 1 - 0.34, 1 - 0.34])
