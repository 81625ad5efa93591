"""The absolute risk of a made-up cancer: published incidence times relative risk, death competing, drawn by weight."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from clinical_assets.sources.synthetic.cancer import rates as rates_module
from clinical_assets.sources.synthetic.cancer.first_cancer import first_cancer
from clinical_assets.sources.synthetic.cancer.rates import CancerRates, rates_of, yearly_risks

SMOKING = {"current_smoker": {"relative_risk": 8.0}, "former_smoker": {"relative_risk": 3.0}}


def weighted_share(table: pl.DataFrame) -> float:
    """Share of the people who got the cancer."""
    ill = pl.col("ended_with") == "cancer"
    return float(table.select((pl.col("stands_for") * ill).sum() / pl.col("stands_for").sum()).item())


def test_the_risk_equals_small_steps_of_two_competing_hazards() -> None:
    rates = rates_of("lung")
    cancer, death = yearly_risks(np.array([62]), np.array([1]), np.array([5.0]), rates=rates, years=10)
    free, ill, dead, step = 1.0, 0.0, 0.0, 1 / 2000
    for moment in np.arange(62, 72, step):
        band = int((moment + 1e-9 - 20) // 5)
        ill += free * 5 * rates.incidence[1, band] * step
        dead += free * rates.mortality[1, band] * step
        free -= free * (5 * rates.incidence[1, band] + rates.mortality[1, band]) * step
    assert cancer.sum() == pytest.approx(ill, rel=1e-3)
    assert death.sum() == pytest.approx(dead, rel=1e-3)


def test_without_death_the_risk_is_that_of_the_published_cases() -> None:
    with (Path(rates_module.__file__).parent / "incidence.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["site"], row["sex"]): row for row in csv.DictReader(file)}
    hazard = sum(
        5 * float(rows["breast", "female"][band]) / float(rows["population", "female"][band])
        for band in ("50-54", "55-59")
    )
    immortal = CancerRates(rates_of("breast").incidence, np.zeros((2, 14)))
    cancer, _ = yearly_risks(np.array([50]), np.array([0]), np.ones(1), rates=immortal, years=10)
    assert cancer.sum() == pytest.approx(1 - np.exp(-hazard))
    # 24,768 of 10,387,588 women of 50 to 54 and 30,422 of 11,232,044 of 55 to 59 in 2019.
    assert hazard == pytest.approx(5 * (24768 / 10387588 + 30422 / 11232044))


def test_factors_move_risk_between_people_and_leave_the_mean_at_the_published_incidence() -> None:
    means = []
    for factors in ({}, SMOKING):
        made = first_cancer(4, incidence="lung", factors=factors, rows=6000, cases=300, people=60_000)
        joined = made["people"].join(made["truth"], on="person_id")
        means.append(float(joined.select((pl.col("stands_for") * pl.col("risk")).sum()).item()) / 60_000)
    assert means[1] == pytest.approx(means[0], rel=0.05)


def test_those_who_got_the_cancer_are_as_many_as_their_true_risks_say_at_every_level_of_risk() -> None:
    made = first_cancer(5, incidence="lung", factors=SMOKING, rows=20_000, cases=4000, people=600_000)
    joined = made["people"].join(made["truth"], on="person_id")
    fifths = joined.with_columns(fifth=pl.col("risk").rank("ordinal") * 5 // (joined.height + 1))
    for _, part in fifths.group_by("fifth"):
        ill = part.filter(pl.col("ended_with") == "cancer")
        expected = float((part["stands_for"] * part["risk"]).sum()) / float(ill["stands_for"][0])
        assert ill.height == pytest.approx(expected, abs=4.5 * np.sqrt(expected))


@pytest.mark.parametrize("site", ["lung", "larynx"])
def test_sites_that_share_a_factor_each_show_its_relative_risk(site: str) -> None:
    people = first_cancer(6, incidence=site, factors=SMOKING, rows=12_000, cases=3000, people=400_000)["people"]
    shares = {str(name): weighted_share(part) for (name,), part in people.group_by("smoking")}
    # Death and the people who get ill earlier hold the ratio of risks a little below that of hazards.
    assert 6.3 < shares["current"] / shares["never"] < 8.6
    assert 2.4 < shares["former"] / shares["never"] < 3.5


def test_of_a_rare_cancer_the_records_stand_for_millions_and_nobody_for_less_than_one() -> None:
    people = first_cancer(7, incidence="mesothelioma", rows=1500, cases=300, people=100_000)["people"]
    assert people.height == pytest.approx(1500, abs=2)
    assert people["stands_for"].min() == 1
    assert people["stands_for"].sum() > 1_000_000
    # Below 5 per 100,000 and year, and so below 50 in ten years.
    assert 0 < weighted_share(people) < 50e-5


def test_a_sex_that_cannot_have_the_cancer_is_refused_and_left_out() -> None:
    assert set(first_cancer(8, incidence="prostate", sexes=["male"], rows=600, cases=100)["people"]["sex"]) == {"male"}
    with pytest.raises(ValueError, match="prostate has no incidence for sex female"):
        first_cancer(8, incidence="prostate")
    with pytest.raises(ValueError, match="no incidence for sex male"):
        first_cancer(8, incidence="nhl", share={"female": 0.1})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"incidence": "hair"}, "no published incidence of 'hair'; there is of acute_lymphoblastic"),
        ({"factors": {"luck": {"relative_risk": 2}}}, "no factor 'luck'"),
        ({"factors": {"specific": {"relative_risk": 0}}}, "must be above 0"),
        ({"cases": 3000}, "rows must be more than cases"),
        ({"ages": [10, 40]}, "must rise, from 20"),
        ({"incidence": "mesothelioma", "people": 3000, "cases": 2000}, "raise people to"),
    ],
)
def test_impossible_wishes_say_what_is_wrong(parameters: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        first_cancer(9, **parameters)  # type: ignore[arg-type]


def test_a_site_of_the_scottish_registry_has_that_population_and_no_other_table_lists_it() -> None:
    # 128 cases among 1,526,821 woman-years of 65 to 69 in 2010-2019: 8.4 per 100,000.
    assert 1e5 * rates_of("vulva").incidence[0, 9] == pytest.approx(8.383, abs=1e-3)
    assert np.isnan(rates_of("vulva").incidence[1]).all()
    tables = [rates_module._table(name) for name in rates_module._INCIDENCE]
    shared = {site for site, _ in tables[0]} & {site for site, _ in tables[1]}
    assert shared == {"population"}
    with pytest.raises(ValueError, match=r"of 'population'; there is of acute_lymphoblastic, acute_myeloid, bladder"):
        rates_of("population")


def test_more_factors_and_the_history_of_smoking_have_their_relative_risks_and_move_nobody_else() -> None:
    extras = {"has_copd": {"values": [0, 1], "shares": [0.7, 0.3], "relative_risks": [1, 3]}}
    history = {"smoked_per_10_years": {"relative_risk": 2.0}, "cigarettes_per_10": {"relative_risk": 1.0}}
    drawn = {"rows": 12_000, "cases": 3000, "people": 400_000, "ages": (55, 74), "smoking_shares": (0, 0.5, 0.5)}
    people = first_cancer(6, factors=history, extras=extras, **drawn)["people"]
    shares = {value: weighted_share(part) for (value,), part in people.group_by("has_copd")}
    assert shares[1] / shares[0] == pytest.approx(3, rel=0.12)
    current = people.filter(pl.col("smoking") == "current")
    assert (current["years_since_stopped"] == 0).all()
    assert (people["years_smoked"] + people["years_since_stopped"] < people["age"]).all()
    longer = weighted_share(current.filter(pl.col("years_smoked") >= 50))
    shorter = weighted_share(current.filter(pl.col("years_smoked") < 42))
    assert longer > 1.5 * shorter
    with pytest.raises(ValueError, match="has_copd needs as many values"):
        first_cancer(6, extras={"has_copd": {"values": [0, 1], "shares": [1], "relative_risks": [1, 3]}})
