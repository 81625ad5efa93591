import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from assets_tests.worlds.tables.batches import FEATURES, records
from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.monitoring.drift.columns import DriftError
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.monitoring.drift.report import DriftReport, FeatureDrift
from clinical_assets.statistics.comparison.distances import categorical_drift, numeric_drift

LIMITS = Monitoring()
IMPORTANCE = {"age_years": 3.0, "crp_mg_l": 2.0, "lactate_mmol_l": 2.0, "smoker": 1.0, "visits": 1.0, "ward": 1.0}


def report_of(reference: pl.DataFrame, batch: pl.DataFrame, **changes: object) -> DriftReport:
    arguments: dict[str, object] = {"features": FEATURES, "importance": IMPORTANCE, "limits": LIMITS, **changes}
    return drift_report(reference, batch, **arguments)  # type: ignore[arg-type]


def feature(report: DriftReport, name: str) -> FeatureDrift:
    return next(each for each in report.features if each.name == name)


def test_distances_are_those_of_scipy_and_of_the_statistics_over_all_rows() -> None:
    reference, batch = records(4_000, seed=1), records(900, seed=2, shift=0.4, missing=0.1)
    report = report_of(reference, batch)
    for name in ("age_years", "crp_mg_l", "lactate_mmol_l"):
        found = feature(report, name).distances
        x, y = reference[name].drop_nulls().to_numpy(), batch[name].drop_nulls().to_numpy()
        assert found.kolmogorov_smirnov == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-9)
        assert found.wasserstein == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-9)
        assert found.wasserstein_standardised == pytest.approx(stats.wasserstein_distance(x, y) / x.std(), abs=1e-9)
        expected = numeric_drift(*(f[name].fill_null(np.nan).to_numpy() for f in (reference, batch)))
        assert (found.psi, found.psi_noise) == pytest.approx((expected.psi, expected.psi_noise), abs=1e-12)
        assert found.jensen_shannon == pytest.approx(expected.jensen_shannon, abs=1e-12)
        assert found.missing_batch == expected.missing_current
    for name in ("smoker", "visits", "ward"):
        found = feature(report, name).distances
        theirs = categorical_drift(*(f[name].to_numpy() for f in (reference, batch)))
        assert found.kind == "category"
        assert (found.psi, found.total_variation) == pytest.approx((theirs.psi, theirs.total_variation), abs=1e-12)


def test_two_categories_have_one_gap_whichever_way_it_is_measured() -> None:
    found = feature(report_of(records(2_000, seed=1), records(600, seed=2)), "smoker").distances
    assert found.gap == pytest.approx(found.kolmogorov_smirnov)


def test_the_same_records_give_the_same_report_from_a_frame_a_lazy_frame_and_a_database() -> None:
    reference, batch = records(1_500, seed=1), records(400, seed=2, shift=0.5, wards="abd")
    connection = duckdb.connect()
    connection.register("r", reference)
    connection.execute('CREATE SCHEMA kept; CREATE TABLE kept."1f" AS SELECT * FROM r')
    connection.register("b", batch)
    stored = report_of('kept."1f"', "(SELECT * FROM b)", connection=connection)  # type: ignore[arg-type]
    assert stored == report_of(reference, batch)
    assert stored == report_of(reference.lazy(), batch.lazy(), workers=1)  # type: ignore[arg-type]


def test_a_batch_like_the_reference_is_stable_and_a_shifted_one_is_drift_in_what_was_shifted() -> None:
    reference = records(5_000, seed=1)
    assert report_of(reference, records(1_000, seed=3)).verdict == "stable"
    shifted = report_of(reference, records(1_000, seed=3, shift=0.6))
    assert shifted.verdict == "drift"
    assert set(shifted.drifted) == {"age_years", "lactate_mmol_l"}
    assert shifted.prediction is not None
    assert shifted.prediction.verdict == "drift"
    assert report_of(reference, records(1_000, seed=3, missing=0.2)).drifted == ("crp_mg_l",)


def test_a_million_records_make_a_small_change_significant_but_not_drift() -> None:
    rng = np.random.default_rng(0)
    reference, batch = (pl.DataFrame({"x": rng.normal(m, 1, 300_000)}) for m in (0.0, 0.05))
    report = drift_report(reference, batch, features=["x"], importance=None, limits=LIMITS, risk=None)
    (found,) = report.features
    assert found.p_adjusted is not None
    assert found.p_adjusted < 1e-12
    assert found.verdict == report.verdict == "stable"


def test_a_small_sample_is_insufficient_whatever_it_holds() -> None:
    reference = records(5_000, seed=1)
    for batch in (records(LIMITS.minimum_n - 1, seed=2, shift=5.0), records(5_000, seed=2).clear()):
        report = report_of(reference, batch)
        assert report.verdict == "insufficient"
        assert report.unjudged == FEATURES
        assert report.tests == 0
        assert "fewer than 200" in report.summary
        DriftReport.from_json(report.to_json())
    assert report_of(records(150, seed=1), reference).verdict == "insufficient"


def test_a_column_that_goes_missing_altogether_is_drift_and_one_that_always_was_is_insufficient() -> None:
    reference, batch = records(1_000, seed=1), records(500, seed=2)
    empty = pl.lit(None, dtype=pl.Float64)
    gone = report_of(reference, batch.with_columns(crp_mg_l=empty))
    assert feature(gone, "crp_mg_l").verdict == "drift"
    assert feature(gone, "crp_mg_l").distances.kolmogorov_smirnov is None
    never = report_of(reference.with_columns(crp_mg_l=empty), batch.with_columns(crp_mg_l=empty))
    assert never.unjudged == ("crp_mg_l",)
    assert never.verdict == "stable"


def test_a_new_category_is_drift() -> None:
    report = report_of(records(5_000, seed=1), records(1_000, seed=2, wards="abcd"))
    assert report.drifted == ("ward",)
    assert {each.label for each in feature(report, "ward").distances.bins} >= {"a", "b", "c"}


def test_carriers_are_ranked_by_their_weight_in_the_model() -> None:
    reference, batch = records(5_000, seed=1), records(1_000, seed=2, shift=1.0, missing=0.5)
    report = report_of(reference, batch)
    assert sum(each.share for each in report.carriers) == pytest.approx(1.0)
    assert report.importance_drifted == pytest.approx(0.7)
    turned = report_of(reference, batch, importance={**IMPORTANCE, "lactate_mmol_l": 1000.0})
    assert turned.carriers[0].name == "lactate_mmol_l"
    assert report_of(reference, batch, importance=None).importance_drifted is None


def test_the_summary_says_when_the_batch_is_too_small_for_the_limit() -> None:
    reference = records(5_000, seed=1)
    small, large = (report_of(reference, records(n, seed=2)) for n in (220, 3_000))
    assert small.detectable_ks is not None
    assert small.detectable_ks > LIMITS.ks_limit
    assert "only a Kolmogorov-Smirnov distance" in small.summary
    assert large.detectable_ks == LIMITS.ks_limit


def test_data_that_cannot_be_compared_is_refused_by_name() -> None:
    reference, batch = records(500, seed=1), records(500, seed=2)
    infinite = batch.with_columns(age_years=pl.col("age_years") / 0)
    days = batch.with_columns(age_years=pl.lit("2024-01-01").str.to_date())
    for wrong, said in (
        (infinite, "'age_years' holds an infinite value in the batch"),
        (days, "'age_years' of the batch is of type Date"),
        (batch.drop("ward"), "the batch has no column 'ward'"),
        (batch.with_columns(ward=pl.lit(1)), "'ward' is a text in the reference and a number"),
        (batch.drop("risk"), "no column 'risk'"),
    ):
        with pytest.raises(DriftError, match=said):
            report_of(reference, wrong)
    with pytest.raises(DriftError, match="500 different texts"):
        report_of(records(2_000, seed=1).with_columns(ward=pl.int_range(2_000).cast(pl.String)), batch)
    with pytest.raises(DriftError, match="'ward' has no importance"):
        report_of(reference, batch, importance={k: v for k, v in IMPORTANCE.items() if k != "ward"})
    with pytest.raises(DriftError, match="without a connection"):
        report_of("some_table", batch)  # type: ignore[arg-type]
    with pytest.raises(DriftError, match="each once"):
        report_of(reference, batch, features=["risk"], importance=None)


def test_a_psi_below_what_chance_gives_is_no_drift_however_low_the_limit() -> None:
    """The limit is never below the noise floor: with few records PSI is large by chance alone."""
    reference = records(4_000, seed=1)
    batch = records(300, seed=2, shift=0.35)
    low = Monitoring(psi_limit=1e-6, ks_limit=0.9)
    for each in report_of(reference, batch, limits=low).features:
        found = each.distances
        assert found.psi is not None
        assert found.psi_noise is not None
        said = [reason for reason in each.reasons if reason.startswith("PSI")]
        assert not said or found.psi >= found.psi_noise
        if said:
            assert f"the limit {found.psi_noise:.3g}" in said[0]


@pytest.mark.parametrize(("present", "verdict"), [(50, "judged"), (49, "insufficient")])
def test_half_of_the_least_number_of_records_must_have_a_value(present: int, verdict: str) -> None:
    limits = Monitoring(minimum_n=100)
    reference, batch = records(400, seed=1), records(100, seed=2)
    gaps = pl.when(pl.int_range(pl.len()) < present).then(pl.col("age_years")).otherwise(None).alias("age_years")
    reference = reference.with_columns(
        pl.when(pl.int_range(pl.len()) < 200).then(pl.col("age_years")).otherwise(None).alias("age_years")
    )
    found = feature(report_of(reference, batch.with_columns(gaps), limits=limits), "age_years")
    assert (found.verdict == "insufficient") == (verdict == "insufficient")
