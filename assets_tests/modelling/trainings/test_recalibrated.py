"""A recalibrated model is its base with another logistic map behind it, and nothing else."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served, new_patients, watched_ward
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.governance.gates.holdout import holdout_of, integrity
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import BundleDescription, RecalibrationKind
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.recalibrated import (
    Recalibrated,
    derive,
    fit_map,
    keep_rows,
    verify_map,
)
from clinical_assets.modelling.trainings.reference import read_reference
from clinical_assets.statistics.calibration.logistic import expit, logit

KINDS: tuple[RecalibrationKind, ...] = ("intercept", "intercept_and_slope")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, pl.DataFrame]:
    """A served cohort and its matured records."""
    served = watched_ward(tmp_path_factory)
    rows = served.matured()
    assert rows is not None
    return served, rows


@pytest.fixture
def mine(once: tuple[Served, pl.DataFrame], tmp_path: Path) -> Served:
    """The same in a folder of the test's own."""
    return Served(once[0].trained.copy_to(tmp_path / "trained"), tmp_path / "sent")


def made(mine: Served, rows: pl.DataFrame, kind: RecalibrationKind = "intercept_and_slope") -> Recalibrated:
    return derive(
        mine.trained.training,
        mine.spec,
        rows,
        kind=kind,
        settings=mine.trained.settings,
        run_id="a run",
        cause="sha256:cause",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_new_log_odds_are_the_map_of_the_old_ones_and_contributions_still_add_up(
    mine: Served, once: tuple[Served, pl.DataFrame], kind: RecalibrationKind
) -> None:
    rows = once[1]
    done = made(mine, rows, kind)
    bundle, base = done.training.bundle(), mine.bundle
    new, old = np.asarray(logit(bundle.score(rows))), np.asarray(logit(base.score(rows)))
    assert new == pytest.approx(done.intercept + done.slope * old, abs=1e-9)
    assert (done.slope == 1) == (kind == "intercept")
    explained = bundle.explain(rows)
    total = np.asarray(explained.contributions).sum(axis=1).ravel() + np.ravel(explained.base)
    assert total == pytest.approx(new, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_uncertain_about_the_map_is_added_to_what_was_uncertain_before(
    mine: Served, once: tuple[Served, pl.DataFrame], kind: RecalibrationKind
) -> None:
    rows = once[1]
    done = made(mine, rows, kind)
    before, after = (_log_odds_width(bundle, rows) for bundle in (mine.bundle, done.training.bundle()))
    assert (after > done.slope * before).all()
    # Hundreds of records leave the map far less uncertain than the model.
    assert np.median(after / (done.slope * before)) < 1.5


def _log_odds_width(bundle: Bundle, rows: pl.DataFrame) -> np.ndarray:
    found = bundle.intervals(rows, bundle.score(rows))
    assert found is not None
    return np.asarray(logit(found.high) - logit(found.low))


def test_features_statement_and_threshold_stay_and_the_digest_does_not(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    bundle, base = made(mine, once[1]).training.bundle(), mine.bundle
    assert bundle.digest != base.digest
    assert bundle.statement == base.statement
    ours, theirs = bundle.description.to_json(), base.description.to_json()
    changed = {name for name in ours if ours[name] != theirs.get(name)}
    assert changed == {"derived", "recalibration", "uncertainty"}
    assert bundle.description.derived is not None
    assert bundle.description.derived.base == base.digest


def test_it_is_the_newest_training_with_its_description_and_rows(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    done = made(mine, once[1])
    newest = trainings.latest(mine.trained.settings, mine.spec.name)
    assert newest.folder == done.training.folder
    assert (newest.report / "spec.json").read_bytes() == (mine.trained.training.report / "spec.json").read_bytes()
    assert newest.results.holdout.n == done.rows.filter(pl.col("part") == "holdout").height
    with mine.warehouse.writer() as connection:
        keep_rows(connection, done.rows, done.training.bundle().digest)
    with mine.warehouse.reader() as connection:
        kept = read_reference(connection, done.training.bundle().digest)
    assert kept.equals(done.rows)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_constant_is_noticed(
    mine: Served, once: tuple[Served, pl.DataFrame], kind: RecalibrationKind
) -> None:
    done = made(mine, once[1], kind)
    description = done.training.bundle().description
    check = partial(verify_map, done.rows, base=mine.bundle, subject="patient_id")
    assert check(description)
    for part, name in (
        ("derived", "intercept"),
        ("derived", "slope"),
        ("recalibration", "intercepts"),
        ("recalibration", "slopes"),
    ):
        edited = copy.deepcopy(description.to_json())
        value = edited[part][name]
        edited[part][name] = [value[0] + 1e-6] if isinstance(value, list) else value + 1e-6
        assert not check(BundleDescription.model_validate(edited)), (part, name)


def test_another_certainty_of_the_risks_than_that_of_the_rows_is_noticed(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    done = made(mine, once[1])
    stored = done.training.bundle().description.to_json()
    check = partial(verify_map, done.rows, base=mine.bundle, subject="patient_id")
    assert stored["uncertainty"]["factor"] is not None
    for change in (
        {"factor": [[1.01 * stored["uncertainty"]["factor"][0][0]], *stored["uncertainty"]["factor"][1:]]},
        {"factor": None},
    ):
        edited = stored | {"uncertainty": stored["uncertainty"] | change}
        assert not check(BundleDescription.model_validate(edited))
    assert not check(BundleDescription.model_validate({k: v for k, v in stored.items() if k != "uncertainty"}))


def test_an_edited_row_is_noticed(mine: Served, once: tuple[Served, pl.DataFrame]) -> None:
    done = made(mine, once[1])
    first = done.rows.with_row_index().filter(pl.col("part") == "train")["index"][0]
    flipped = pl.when(pl.int_range(pl.len()) == first).then(1 - pl.col("outcome")).otherwise(pl.col("outcome"))
    rows = done.rows.with_columns(flipped.alias("outcome"))
    assert not verify_map(rows, done.training.bundle().description, base=mine.bundle, subject="patient_id")


def test_the_order_of_the_records_does_not_matter(mine: Served, once: tuple[Served, pl.DataFrame]) -> None:
    first = made(mine, once[1]).training.bundle().digest
    assert made(mine, once[1].sample(fraction=1.0, shuffle=True, seed=1)).training.bundle().digest == first


def with_twins(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, and the first hundred once more under other identifiers: half of them equal, half nearly so."""
    again = rows.head(100).with_columns(patient_id=pl.lit("again ") + pl.col("patient_id"))
    moved = pl.when(pl.int_range(pl.len()) < 50).then(pl.col("marker_a")).otherwise(pl.col("marker_a") + 1e-4)
    return pl.concat([rows, again.with_columns(marker_a=moved)])


def test_twins_under_other_identifiers_are_fitted_on_or_judged_with_and_never_both(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    done = made(mine, with_twins(once[1]))
    part = dict(done.rows.select("patient_id", "part").iter_rows())
    twins = {name: name.removeprefix("again ") for name in part if name.startswith("again ")}
    assert len(twins) == 100
    assert {part[name] for name in twins} == {"train", "holdout"}
    assert [name for name, first in twins.items() if part[name] != part[first]] == []
    told = [warning.code for warning in done.training.results.warnings]
    assert told.count("twins") == 1


def test_the_gate_finds_every_twin_where_the_recalibration_put_it(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    done = made(mine, with_twins(once[1]))
    digest = done.training.bundle().digest
    with mine.warehouse.writer() as connection:
        keep_rows(connection, done.rows, digest)
    candidate = mine.trained.candidate(digest)
    locked = next(each for each in integrity(candidate, holdout_of(candidate)) if each.criterion == "holdout_locked")
    assert (locked.verdict, locked.value) == ("pass", 0)


def test_a_part_without_events_is_refused(mine: Served, once: tuple[Served, pl.DataFrame]) -> None:
    with pytest.raises(InsufficientData, match="events"):
        made(mine, once[1].with_columns(pl.lit(0, dtype=pl.Int32).alias("outcome")))


def test_a_map_of_a_map_is_one_map(mine: Served, once: tuple[Served, pl.DataFrame]) -> None:
    first = made(mine, once[1])
    middle = first.training.bundle()
    again = once[1].with_columns(pl.Series("risk", middle.score(once[1])))
    second = derive(
        first.training,
        mine.spec,
        again.filter(pl.col("age_years") > 60),
        kind="intercept",
        settings=mine.trained.settings,
        run_id="b",
        cause="c",
    )
    new = np.asarray(logit(second.training.bundle().score(once[1])))
    assert new == pytest.approx(second.intercept + np.asarray(logit(middle.score(once[1]))), abs=1e-9)


def test_the_map_repairs_what_it_was_fitted_on() -> None:
    rng = np.random.default_rng(1)
    log_odds = rng.normal(size=20_000)
    event = (rng.random(20_000) < expit(0.7 + 0.5 * log_odds)).astype(int)
    intercept, slope = fit_map(event, np.asarray(expit(log_odds)), kind="intercept_and_slope")
    assert (intercept, slope) == pytest.approx((0.7, 0.5), abs=0.05)
    assert fit_map(event, np.asarray(expit(log_odds)), kind="intercept")[1] == 1.0


def test_records_that_stand_for_censored_ones_count_more_in_map_and_report(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    rows = once[1].with_columns(case_weight=pl.when(pl.col("outcome") == 1).then(1.0).otherwise(3.0))
    plain, weighed = made(mine, once[1]), made(mine, rows)
    train = weighed.rows.filter(pl.col("part") == "train")
    times = train["case_weight"].cast(int).to_numpy()
    event, before = (
        train["outcome"].to_numpy(),
        np.asarray(mine.bundle.score(train.select(mine.bundle.feature_columns))),
    )
    repeated = fit_map(np.repeat(event, times), np.repeat(before, times), kind="intercept_and_slope")
    assert (weighed.intercept, weighed.slope) == pytest.approx(repeated, abs=0.01)
    assert weighed.intercept < plain.intercept - 0.5
    check = partial(verify_map, base=mine.bundle, subject="patient_id")
    description = weighed.training.bundle().description
    assert check(weighed.rows, description)
    assert not check(weighed.rows.drop("case_weight"), description)
    alerts = (done.training.results.metrics["alert_rate"].value for done in (plain, weighed))
    assert next(alerts) > next(alerts)


def test_the_censored_of_the_set_apart_part_are_at_risk_in_its_observed_risk(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    variables = {"time_column": "followed_days", "event_column": "died", "horizon_days": 30}
    timed = mine.spec.model_copy(update={"outcome": "fixed_horizon", "vars": variables})
    code = pl.col("outcome").cast(pl.Int32).alias("event_code")
    days = pl.when(pl.col("outcome") == 1).then(10.0).otherwise(31.0).alias("follow_up_days")
    rows = once[1].with_columns(code, days)
    lost = rows.filter(pl.col("outcome") == 0).with_columns(
        pl.lit(None, pl.Int32).alias("outcome"), pl.lit(20.0).alias("follow_up_days"), pl.col("patient_id") + "-lost"
    )
    done = derive(
        mine.trained.training,
        timed,
        rows,
        kind="intercept",
        settings=mine.trained.settings,
        run_id="a run",
        cause="sha256:cause",
        censored=lost,
    )
    results = done.training.results
    # Nobody is lost before an event here: the risk is the share among all at risk.
    found = results.metrics["observed_risk"]
    assert found.n > results.holdout.n
    assert found.value == pytest.approx(results.holdout.events / found.n)
    assert "observed_risk" not in made(mine, rows).training.results.metrics


def test_records_that_a_recalibrated_model_was_made_from_are_not_its_performance(
    mine: Served, once: tuple[Served, pl.DataFrame]
) -> None:
    done = made(mine, once[1])
    bundle = done.training.bundle()
    with mine.warehouse.writer() as connection:
        keep_rows(connection, done.rows, bundle.digest)
    (batch,) = {row[0] for row in mine.warehouse.query("SELECT DISTINCT batch FROM monitoring.scored_records").rows()}
    mine.score(batch, bundle)
    found = mine.matured(bundle)
    assert found is not None
    assert found.height == 0
    subjects, visits = new_patients(30, seed=8)
    mine.score(mine.receive(subjects, visits, name="later"), bundle)
    mine.outcomes([{"patient_id": row["patient_id"], "died": row["died"]} for row in subjects])
    found = mine.matured(bundle)
    assert found is not None
    assert set(found["patient_id"]) == {row["patient_id"] for row in subjects}
