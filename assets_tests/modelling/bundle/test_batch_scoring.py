"""A batch is scored once, by the bundle's own statement, as one record at a time would be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import duckdb
import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served, new_patients
from assets_tests.worlds.ward.three_classes import three_class_bundle
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.batch_scoring import score_batch
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.bundle.record_scoring import RecordScorer, TableRows
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.decisions.class_costs import cheapest_class, equal_costs
from clinical_assets.warehouse.store.warehouse import Warehouse

ROWS = 120


@pytest.fixture
def batch(served: Served) -> str:
    """A received batch."""
    return served.receive(*new_patients(ROWS, seed=3))


def scores(served: Served) -> pl.DataFrame:
    return served.warehouse.query("SELECT * FROM monitoring.scored_records ORDER BY patient_id")


def test_scores_are_those_of_the_bundle_on_the_kept_features(served: Served, batch: str) -> None:
    done = served.score(batch)
    found = scores(served)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features ORDER BY patient_id")
    assert done.rows == ROWS == found.height
    np.testing.assert_array_equal(found["risk"].to_numpy(), served.bundle.score(features))
    assert found["is_alert"].to_list() == (found["risk"] >= served.bundle.description.threshold).to_list()
    assert done.alerts == found["is_alert"].sum()
    assert done.tiers == {"Low": (found["risk"] < 0.5).sum(), "High": (found["risk"] >= 0.5).sum()}


def records_of(served: Served, where: str = "true") -> dict[str, pl.DataFrame]:
    """Received records as someone who asks for scores holds them."""
    return {
        table: served.warehouse.query(f"SELECT * EXCLUDE batch FROM received_valid.{table} WHERE {where}")
        for table in served.spec.tables
    }


def test_every_record_alone_gets_the_score_alert_and_tier_that_it_gets_in_a_batch(served: Served, batch: str) -> None:
    served.score(batch)
    found = scores(served)
    with RecordScorer(served.spec, served.bundle) as scorer:
        for row in found.iter_rows(named=True):
            alone = scorer.score(records_of(served, f"patient_id = '{row['patient_id']}'"))
            (given,) = alone.frame.select("patient_id", "risk", "is_alert", "tier").rows(named=True)
            assert given == {name: row[name] for name in given}
            told = alone.explanation
            assert told.base + told.contributions.sum() == pytest.approx(logit(row["risk"]), abs=1e-6)


def test_records_of_one_call_are_seen_by_no_other(served: Served, batch: str) -> None:
    together, names = records_of(served), records_of(served)["subjects"]["patient_id"].to_list()
    with RecordScorer(served.spec, served.bundle) as scorer, ThreadPoolExecutor(4) as pool:
        alone = [{k: rows.filter(pl.col("patient_id") == name) for k, rows in together.items()} for name in names[:40]]
        given = pl.concat(each.frame for each in pool.map(scorer.score, alone))
        whole = scorer.score(together).frame
    assert given["patient_id"].to_list() == names[:40]
    assert given.sort("patient_id").equals(whole.filter(pl.col("patient_id").is_in(names[:40])).sort("patient_id"))


def test_a_refused_call_leaves_nothing_behind(served: Served, batch: str) -> None:
    records = records_of(served)
    wrong = records | {"visits": records["visits"].with_columns(pl.lit(1).alias("shoe_size"))}
    with RecordScorer(served.spec, served.bundle) as scorer:
        with pytest.raises(duckdb.Error, match="shoe_size"):
            scorer.score(wrong)
        assert scorer.features({}).height == 0


def rows_of(records: dict[str, pl.DataFrame]) -> dict[str, TableRows]:
    return {name: TableRows(tuple(frame.columns), frame.rows()) for name, frame in records.items()}


def test_a_plan_made_ahead_is_held_against_one_made_afresh(
    served: Served, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = rows_of(records_of(served))
    with RecordScorer(served.spec, served.bundle, witnessed_calls=1) as scorer:
        once, again = scorer.score_rows(records), scorer.score_rows(records)
    assert once.keys == again.keys
    np.testing.assert_array_equal(once.decisions.risk, again.decisions.risk)
    # A statement that never yields the same rows twice stands for a plan that went stale.
    feature = served.bundle.feature_columns[0]
    drawn = f"SELECT * REPLACE (random() AS {feature}) FROM ({served.bundle.statement})"
    monkeypatch.setattr(type(served.bundle), "statement", property(lambda _: drawn))
    with RecordScorer(served.spec, served.bundle, witnessed_calls=2) as scorer:
        scorer.score_rows(records)
        with pytest.raises(BundleError, match="planned ahead and planned now, yields different features"):
            scorer.score_rows(records)


def test_scoring_again_changes_nothing(served: Served, batch: str) -> None:
    first = served.score(batch)
    before = scores(served)
    again = served.score(batch)
    assert (first.new, again.new) == (True, False)
    assert (again.rows, again.alerts, again.tiers) == (first.rows, first.alerts, first.tiers)
    assert scores(served).equals(before)


class Announced(Warehouse):
    """Says when someone is about to write."""

    def __init__(self, cohort: str, settings: Settings) -> None:
        super().__init__(cohort, settings)
        self.wanted = Event()

    def writer(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        self.wanted.set()
        return super().writer()


def test_a_thread_that_scored_meanwhile_is_noticed(served: Served, batch: str) -> None:
    slow = Announced(served.warehouse.cohort, served.warehouse.settings)
    with ThreadPoolExecutor(1) as pool:
        with served.warehouse.exclusive():
            second = pool.submit(score_batch, slow, served.spec, served.bundle, batch)
            assert slow.wanted.wait(60)  # it has looked, and found nothing
            assert served.score(batch).new
        assert not second.result(60).new
    assert scores(served).height == ROWS


@pytest.mark.parametrize(("chunk_rows", "workers"), [(1, 1), (7, 3), (64, 2), (1000, 1)])
def test_chunks_and_threads_change_no_score(served: Served, batch: str, chunk_rows: int, workers: int) -> None:
    done = score_batch(served.warehouse, served.spec, served.bundle, batch, chunk_rows=chunk_rows, workers=workers)
    found = scores(served)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features ORDER BY patient_id")
    assert done.rows == found["patient_id"].n_unique() == ROWS
    np.testing.assert_array_equal(found["risk"].to_numpy(), served.bundle.score(features))
    assert found["tier"].to_list() == ["High" if risk >= 0.5 else "Low" for risk in found["risk"]]


def test_the_holdout_is_scored_again_as_the_training_kept_it(served: Served) -> None:
    trained = {table: served.warehouse.query(f"SELECT * FROM validated.{table}") for table in served.spec.tables}
    with RecordScorer(served.spec, served.bundle) as scorer:
        again = scorer.score(trained).frame.select("patient_id", pl.col("risk").alias("again"))
    kept = served.warehouse.query("SELECT patient_id, risk FROM model.holdout_scores").join(again, on="patient_id")
    assert kept.height > 100
    np.testing.assert_array_equal(kept["risk"].to_numpy(), kept["again"].to_numpy())


def test_a_statement_reaches_no_file(served: Served, batch: str) -> None:
    bundle = served.bundle
    content = bundle.folder / "features.sql"
    content.write_text(f"SELECT * FROM read_text('{content}')")
    with pytest.raises(duckdb.PermissionException):
        served.score(batch, bundle)


def test_each_batch_is_scored_by_its_own_records_alone(served: Served, batch: str) -> None:
    other = served.receive(*new_patients(50, seed=4), name="other")
    served.score(batch)
    served.score(other)
    counted = served.warehouse.query("SELECT batch, count(*) AS n FROM monitoring.scored_records GROUP BY ALL").rows()
    assert dict(counted) == {batch: ROWS, other: 50}


def test_subject_groups_and_features_stand_beside_the_score(served: Served, batch: str) -> None:
    served.score(batch)
    features = served.warehouse.query("SELECT * FROM monitoring.batch_features")
    assert {"patient_id", "protected_sex", "protected_region", *served.bundle.feature_columns} <= set(features.columns)
    assert features["protected_sex"].null_count() > 0
    assert np.isnan(features["marker_a"].fill_null(float("nan")).to_numpy()).any()


def test_a_batch_of_nobody_has_no_scores(served: Served) -> None:
    done = served.score("sha256:nothing")
    assert (done.rows, done.alerts, done.tiers) == (0, 0, {"Low": 0, "High": 0})


def test_a_column_that_the_description_lost_does_not_keep_old_batches_from_being_scored(
    served: Served, batch: str
) -> None:
    with served.warehouse.writer() as connection:
        connection.execute("ALTER TABLE received_valid.subjects ADD COLUMN blood_type VARCHAR")
    assert served.score(batch).rows == ROWS


@pytest.mark.parametrize("costs", [None, ((0, 1, 2), (9, 0, 1), (20, 5, 0))])
def test_of_three_classes_the_cheapest_is_decided_alone_as_in_a_batch(
    served: Served, batch: str, tmp_path: Path, costs: tuple[tuple[float, ...], ...] | None
) -> None:
    bundle = three_class_bundle(served.bundle, served.warehouse, tmp_path / "bundle", costs=costs)
    assert ("class_costs" in json.loads((tmp_path / "bundle" / "bundle.json").read_text())) == (costs is not None)
    served.score(batch)  # two classes: the table has no such column yet
    done = served.score(batch, bundle)
    found = scores(served).filter(pl.col("bundle_digest") == bundle.digest)
    kept = served.warehouse.query(
        f"SELECT * FROM monitoring.batch_features WHERE bundle_digest = '{bundle.digest}' ORDER BY patient_id"
    )
    served_p = bundle.score(kept)
    expected = cheapest_class(served_p, equal_costs(3) if costs is None else costs)
    assert found["decided_class"].to_list() == [bundle.classes[k] for k in expected]
    assert done.classes == {label: int((expected == k).sum()) for k, label in enumerate(bundle.classes)}
    assert served.score(batch, bundle).classes == done.classes
    assert scores(served).filter(pl.col("bundle_digest") != bundle.digest)["decided_class"].null_count() == ROWS
    first = found["patient_id"][0]
    with RecordScorer(served.spec, bundle) as scorer:
        alone = scorer.score(records_of(served, f"patient_id = '{first}'")).frame
    assert alone["decided_class"].to_list() == [found["decided_class"][0]]
