"""The family of published cancer cohorts says what its files hold: each number is counted again from the file alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import CATALOGUE, Built, packaged
from clinical_assets.cohorts.spec import CohortSpec

FAMILY = CATALOGUE.members("cancer_cohorts")
DAYS_PER = {"days": 1, "months": 30.4375, "years": 365.25}


def counted(spec: CohortSpec) -> tuple[int, int, int]:
    """Patients of the file, events within the horizon, and censored before it; read without the platform."""
    source, columns = spec.subjects.source, spec.subjects.columns
    table = pl.read_csv(packaged("oncodatasets", source.file), infer_schema_length=0)  # type: ignore[union-attr]
    time, event = (str(columns[name].source_name) for name in ("follow_up", "is_event"))
    days = pl.col(time).cast(pl.Float64, strict=False) * DAYS_PER[str(spec.vars["time_unit"])]
    happened = pl.col(event).str.to_lowercase().is_in(["1", "true"])
    horizon = spec.prediction.horizon_days
    return (
        table.height,
        table.filter(happened & (days <= horizon)).height,
        table.filter(~happened & (days < horizon)).height,
    )


def test_the_family_has_ten_cohorts_and_none_of_a_file_that_says_simulated() -> None:
    files = {CATALOGUE.spec(name).subjects.source.file for name in FAMILY}  # type: ignore[union-attr]
    assert len(FAMILY) == len(files) == 10
    # Simulated by its own documentation, although its columns look like a registry's.
    assert "data/cervical_cancer_patients.csv" not in files


@pytest.mark.parametrize("name", FAMILY)
class TestDescription:
    def test_states_its_own_numbers_and_says_when_they_are_small(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        patients, events, censored = counted(spec)
        told = " ".join(spec.data.limits)
        numbers = {int(number) for number in re.findall(r"\b\d+\b", told)}
        assert {patients, events} <= numbers
        assert censored in numbers or "none was censored before" in told
        assert ("mall n" in told) == (patients < 100)

    def test_is_real_with_source_licence_moment_and_rule_for_the_censored(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        assert spec.family == "cancer_cohorts"
        assert spec.data.kind == "real"
        assert re.search(r"\b(19|20)\d\d\b|GSE\d+", spec.data.source)
        assert "oncodatasets" in spec.data.licence
        assert "censored before the horizon" in (spec.prediction.censoring or "")
        assert spec.protected or any("fairness" in limit for limit in spec.data.limits)


@pytest.mark.slow
def test_a_member_is_built_and_holds_the_men_of_another_copy_of_the_same_study(
    built: Callable[[str], Built],
) -> None:
    cohort = built("larynx_cancer_survival")
    other = pl.read_csv(packaged("lifelines", "datasets/larynx.csv")).select(
        "age", "time", "death", stage=1 + pl.col("Stage_II") + 2 * pl.col("Stage_III") + 3 * pl.col("Stage_IV")
    )
    own = cohort.query("SELECT age_years, follow_up, CAST(is_event AS INTEGER), stage FROM validated.subjects")
    assert sorted(own.rows()) == sorted(other.rows())
    patients, events, censored = counted(cohort.spec)
    assert cohort.build.used == patients - censored
    assert cohort.build.outcome_counts["dead"] == events
    assert cohort.build.exclusions == {"censored before the horizon": censored}
