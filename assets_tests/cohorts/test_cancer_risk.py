"""The family of synthetic cancer risks: every description, and one member built and held against the truth."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import CATALOGUE, Built
from clinical_assets.sources.synthetic.cancer.first_cancer import FACTORS, first_cancer
from clinical_assets.sources.synthetic.cancer.rates import rates_of
from clinical_assets.sources.synthetic.registry import generate

FAMILY = CATALOGUE.members("cancer_risk")
OPEN_GOVERNMENT = "Contains public sector information licensed under the Open Government Licence v3.0"
ASSUMED = "assumed by this package, order of magnitude only"


def parameters(name: str) -> dict[str, Any]:
    return dict(CATALOGUE.spec(name).subjects.source.parameters)  # type: ignore[union-attr]


def test_there_are_fifty_sites_each_code_once_per_sex() -> None:
    codes = [
        (code, sex)
        for name in FAMILY
        for code in CATALOGUE.spec(name).disease.icd10
        for sex in parameters(name)["sexes"]
    ]
    assert len(FAMILY) == 50
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"C[0-9]\d(\.\d)?", code) and code < "C97" for code, _ in codes)


@pytest.mark.parametrize("name", FAMILY)
class TestDescription:
    def test_is_called_synthetic_everywhere(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        assert spec.title.startswith("SYNTHETIC")
        assert spec.synthetic
        assert spec.data.source.startswith("SYNTHETIC")
        assert spec.family == "cancer_risk"

    def test_each_number_has_a_source_or_is_called_assumed(self, name: str) -> None:
        given, told = parameters(name), " ".join(CATALOGUE.spec(name).data.limits)
        source = CATALOGUE.spec(name).data.source
        assert ("U.S. Cancer Statistics 2019" in source) != ("Public Health Scotland" in source)
        assert ("Public Health Scotland" in source) == (OPEN_GOVERNMENT in CATALOGUE.spec(name).data.licence)
        assert (ASSUMED in source) == (given["share"] != 1)
        for factor, said in given["factors"].items():
            assert factor in FACTORS
            assert said["source"] == ASSUMED or re.search(r"\b(19|20)\d\d\b", said["source"])
            assert "interval" not in said or said["source"] != ASSUMED
            assert f"Relative risk of {factor}" in told
            assert said["source"] in told
            low, high = said.get("interval", (0, np.inf))
            assert isinstance(said["relative_risk"], dict) or low <= said["relative_risk"] <= high

    def test_the_generator_takes_its_line(self, name: str) -> None:
        given = parameters(name)
        assert set(given) - {"table"} <= set(inspect.signature(first_cancer).parameters)
        rates = rates_of(given["incidence"])
        assert all(np.isfinite(rates.incidence[("female", "male").index(sex)]).all() for sex in given["sexes"])

    def test_one_sex_is_no_feature_and_two_are_looked_at_for_fairness(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        both = len(parameters(name)["sexes"]) == 2
        assert ("sex" in spec.protected) == both
        assert both or any("fairness" in limit for limit in spec.data.limits)

    def test_costs_and_tiers_are_of_the_size_of_the_risk(self, name: str) -> None:
        decisions = CATALOGUE.spec(name).decisions
        low, high = decisions.threshold_range
        assert low < decisions.costs.threshold < high
        assert decisions.tiers[1].lower < decisions.tiers[2].lower


@pytest.mark.slow
def test_a_member_is_built_with_its_weights_and_a_plain_fit_finds_its_true_absolute_risks(
    built: Callable[[str], Built],
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    name = "lung_cancer_risk"
    cohort = built(name)
    given = {key: value for key, value in parameters(name).items() if key != "table"}
    seed = cohort.spec.subjects.source.seed  # type: ignore[union-attr]
    truth = generate("first_cancer", seed=seed, parameters=given)["truth"]
    assert cohort.build.exclusions == {}
    assert cohort.build.outcome_counts["cancer"] == pytest.approx(600, abs=1)
    table = cohort.query(
        "SELECT f.*, s.stands_for, s.ended_with FROM model.features f JOIN validated.subjects s USING (person_id)"
    )
    table = table.join(truth, on="person_id")
    features = table.select(cohort.build.feature_columns).to_numpy()
    ill, weight = (table["ended_with"] == "cancer").to_numpy(), table["stands_for"].to_numpy()
    scaled = StandardScaler().fit_transform(features)
    found = (
        LogisticRegression(C=np.inf, max_iter=1000).fit(scaled, ill, sample_weight=weight).predict_proba(scaled)[:, 1]
    )
    compared = pl.DataFrame({"found": found * weight, "true": table["risk"].to_numpy() * weight, "risk": table["risk"]})
    thirds = compared.with_columns(third=pl.col("risk").rank("ordinal") * 3 // (compared.height + 1))
    for found_sum, true_sum in (
        thirds.group_by("third")
        .agg("found", "true")
        .select(pl.col("found").list.sum(), pl.col("true").list.sum())
        .rows()
    ):
        assert found_sum == pytest.approx(true_sum, rel=0.25)
    assert compared["found"].sum() == pytest.approx(compared["true"].sum(), rel=0.1)
