"""The update question is put with what reports and ledger say, and its cause has one name."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.updates.history import history_of, recommend_for
from clinical_assets.monitoring.updates.updates import Recommendation, UpdateHistory
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

NOBODY = UpdateHistory((), datetime(2026, 1, 1, tzinfo=UTC))


def asked(served: Served, rows: pl.DataFrame | None) -> tuple[Recommendation, str]:
    return recommend_for(rows, served.spec, served.bundle, settings=served.trained.settings, history=NOBODY)


def test_the_same_evidence_has_the_same_cause_in_any_order(served: Served, matured: pl.DataFrame) -> None:
    first = asked(served, matured)
    assert asked(served, matured.sample(fraction=1.0, shuffle=True, seed=1)) == first


def test_new_outcomes_are_another_cause(served: Served, matured: pl.DataFrame) -> None:
    assert asked(served, matured)[1] != asked(served, matured.head(399))[1]


def test_before_any_outcome_one_waits_unless_values_are_broken(served: Served) -> None:
    assert asked(served, None)[0].rule == "too_few"
    keep(served, "data_quality_report", alarms=["marker_b: stuck"])
    assert asked(served, None)[0].action == "repair_data"


def keep(served: Served, name: report_store.ReportName, *, digest: str | None = None, **report: list[str]) -> None:
    content = {"verdict": "-", "summary": "-", "bundle_digest": digest or served.bundle.digest, "report": report}
    report_store.keep(served.trained.settings, served.spec.name, name, content)


def test_alarms_and_failing_groups_of_an_earlier_model_do_not_count(served: Served, matured: pl.DataFrame) -> None:
    keep(served, "data_quality_report", digest="sha256:old", alarms=["marker_b: stuck"])
    keep(served, "fairness_report", digest="sha256:old", failing=["sex=f: tpr"])
    assert asked(served, matured)[0].rule == "adequate"
    keep(served, "fairness_report", failing=["sex=f: tpr"])
    assert asked(served, matured)[0].rule == "subgroup"


def test_of_a_subject_with_several_units_the_newest_counts(served: Served, matured: pl.DataFrame) -> None:
    later = matured.with_columns(scored_at=pl.lit("9999"))
    found, _ = asked(served, pl.concat([matured.with_columns(outcome=1 - pl.col("outcome")), later]))
    assert (found.n, found.events) == (400, int(matured["outcome"].sum()))


def test_of_twins_under_other_identifiers_the_newest_counts(served: Served, matured: pl.DataFrame) -> None:
    again = matured.head(100).with_columns(
        patient_id=pl.lit("again ") + pl.col("patient_id"), outcome=1 - pl.col("outcome"), scored_at=pl.lit("9999")
    )
    found, _ = asked(served, pl.concat([matured, again]))
    assert (found.n, found.events) == (400, int(again["outcome"].sum() + matured["outcome"][100:].sum()))


@pytest.mark.parametrize("other", ["another_cohort", None])
def test_history_is_what_the_ledger_says_of_this_cohort(served: Served, other: str | None) -> None:
    records = RecordsDatabase(served.trained.settings)
    assert history_of(records, served.spec.name).updates == ()
    digest = "sha256:" + "0" * 64
    Ledger(records).append(
        "retrain", actor="automation:test", cohort=served.spec.name, digest=digest, reason="intercept"
    )
    if other is not None:
        Ledger(records).append("retrain", actor="automation:test", cohort=other, digest=digest, reason="refit")
    found = history_of(records, served.spec.name)
    assert (len(found.updates), found.kinds) == (1, ("intercept",))
    assert found.updates[0] <= found.now
