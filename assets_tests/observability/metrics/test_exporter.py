"""Metrics say what state says: bounded labels, nothing about persons, and absent what cannot be computed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assets_tests.worlds.ward.released import write_by_hand
from assets_tests.worlds.ward.state import DIGEST, OTHER_DIGEST, WARD, State
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.verification import EvidencePart, EvidenceReport
from clinical_assets.governance.verification_record import keep_verification
from clinical_assets.modelling.trainings import trainings
from clinical_assets.observability.metrics.exporter import ExporterError, PlatformCollector, refuse_open, serve, text_of
from clinical_assets.observability.metrics.metrics import METRICS, PREFIX, MetricSample, bounded, families, sample
from clinical_assets.observability.metrics.platform_readings import LedgerWatch
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.ledger import ACTIONS

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Found:
    """Every value of an exposition, as Prometheus' own parser reads it, without the prefix."""
    return {
        (each.name.removeprefix(PREFIX), tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def shown(state: State, **more: object) -> Found:
    return parsed(text_of(PlatformCollector(state.settings, **more)))  # type: ignore[arg-type]


def of(found: Found, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def names(found: Found) -> set[str]:
    return {name for name, _ in found}


def filled(state: State) -> State:
    """Everything there is to be shown."""
    state.promote()
    state.score(tiers={"Low": (7, 0), "High": (3, 3), "an older tier": (2, 1)})
    state.report("drift_report", "drift", metrics={"psi_max": 0.31, "prediction_psi": 0.05, "features_drifted": 2.0})
    state.report("data_quality_report", "sound", metrics={"alarms": 0.0})
    numbers = {"auroc": 0.7, "calibration_intercept": -0.2, "calibration_slope": 0.9, "net_benefit": 0.05}
    state.report("performance_report", "worse", metrics={**numbers, "outcomes": 120.0})
    state.report("update_recommendation", "ask", action="ask", rule="plan", n=120, events=30)
    state.train()
    state.judge("bias", "insufficient")
    state.judge("security", "fail")
    state.ledger.append("ingestion", actor="ann", cohort=WARD)
    state.drop("one.csv")
    state.drop("outcomes/two.csv")
    (state.settings.inbox / WARD / "refused").mkdir()
    (state.settings.inbox / WARD / "refused" / "x.csv.report.json").write_text("{}")
    keep_verification(state.settings, EvidenceReport((EvidencePart("ledger", 3, ()),)))
    return state


def test_every_kind_of_state_has_its_metric(state: State) -> None:
    watch = LedgerWatch(filled(state).records)
    watch.look()
    counts = {("train_cohort", "failure"): 2}
    found = shown(state, watch=watch, run_counts=lambda: counts, jobs=["train_cohort"])
    assert names(found) == set(METRICS)
    assert of(found, "cohort_info", cohort=WARD, synthetic="yes") == 1
    assert of(found, "scored_records", cohort=WARD, tier="Low") == 7
    assert of(found, "alerts", cohort=WARD, tier="Low") == 0
    assert of(found, "alerts", cohort=WARD, tier="High") == 3
    assert of(found, "batches", cohort=WARD) == 1
    assert of(found, "refused_records", cohort=WARD) == 2
    assert of(found, "report_light", cohort=WARD, report="drift_report") == 2
    assert of(found, "report_light", cohort=WARD, report="performance_report") == 3
    assert of(found, "report_light", cohort=WARD, report="data_quality_report") == 1
    assert of(found, "psi_max", cohort=WARD) == 0.31
    assert of(found, "features_drifted", cohort=WARD) == 2
    assert of(found, "calibration_intercept", cohort=WARD) == -0.2
    assert of(found, "outcomes", cohort=WARD) == 120
    assert of(found, "recommendation", cohort=WARD, action="ask") == 1
    assert of(found, "gate_state", cohort=WARD, gate="bias") == 2
    assert of(found, "gate_state", cohort=WARD, gate="security") == 3
    assert of(found, "inbox_files", cohort=WARD) == 2
    assert of(found, "inbox_refused_files", cohort=WARD) == 1
    assert of(found, "ledger_length") == 3
    assert of(found, "ledger_entries", action="gate_verdict") == 2
    assert of(found, "ledger_intact") == 1
    assert of(found, "evidence_intact") == 1
    assert of(found, "runs", dagster_job="train_cohort", status="failure") == 2
    since = of(found, "champion_since_timestamp_seconds", cohort=WARD)
    assert since is not None
    assert abs(time.time() - since) < 60


def test_words_that_nobody_described_are_counted_under_other(state: State) -> None:
    filled(state)
    state.drop("a.csv", cohort="nobody_described_me")
    state.drop("b.csv", cohort="nor_me")
    counts = {("a_private_job", "failure"): 1, ("train_cohort", "a_new_state"): 1}
    found = shown(state, run_counts=lambda: counts, jobs=["train_cohort"])
    assert of(found, "scored_records", cohort=WARD, tier="other") == 2
    assert of(found, "inbox_files", cohort="other") == 2
    assert of(found, "runs", dagster_job="other", status="failure") == 1
    assert of(found, "runs", dagster_job="train_cohort", status="other") == 1
    oldest = of(found, "inbox_oldest_timestamp_seconds", cohort="other")
    assert oldest is not None
    assert abs(time.time() - oldest) < 60


def test_every_label_is_of_a_known_vocabulary_and_no_value_of_a_record_is_shown(state: State) -> None:
    text = text_of(PlatformCollector(filled(state).settings))
    assert "SECRET" not in text
    assert str(state.settings.data) not in text
    known = {
        "cohort": {*Catalogue.from_settings(state.settings).names(), "other"},
        "action": {*ACTIONS, "ask"},
        "tier": {"Low", "High", "other"},
    }
    for name, labels in parsed(text):
        assert tuple(sorted(key for key, _ in labels)) == tuple(sorted(METRICS[name].labels))
        for key, value in labels:
            assert value in known.get(key, {value})


def test_what_was_never_computed_is_absent_and_not_zero(state: State) -> None:
    state.promote()
    state.report("performance_report", "insufficient", metrics={"outcomes": 3.0, "events": 0.0})
    found = shown(state)
    assert of(found, "report_light", cohort=WARD, report="performance_report") == 0
    absent = {"auroc", "calibration_slope", "net_benefit", "psi_max", "gate_state", "batches", "ledger_intact", "runs"}
    assert absent & names(found) == set()


def test_looking_makes_no_file(state: State) -> None:
    before = set(state.settings.data.rglob("*"))
    shown(state)
    assert set(state.settings.data.rglob("*")) == before


def test_a_report_about_an_earlier_champion_says_nothing_about_the_present_one(state: State) -> None:
    state.promote()
    state.report("drift_report", "drift", metrics={"psi_max": 0.9})
    state.promote(digest=OTHER_DIGEST)
    found = shown(state)
    assert of(found, "report_light", cohort=WARD, report="drift_report") is None
    assert of(found, "psi_max", cohort=WARD) is None
    assert of(found, "report_timestamp_seconds", cohort=WARD, report="drift_report") is not None


def test_scores_of_an_earlier_champion_are_not_counted_again(state: State) -> None:
    state.promote()
    state.score(tiers={"Low": (7, 0)}, digest=OTHER_DIGEST)
    state.score(tiers={"Low": (4, 0)}, digest=DIGEST)
    found = shown(state)
    assert of(found, "scored_records", cohort=WARD, tier="Low") == 4
    assert of(found, "scored_records", cohort=WARD, tier="High") == 0
    assert of(found, "batches", cohort=WARD) == 2


HOLD = """
import os, sys
from pathlib import Path
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.warehouse import Warehouse
with Warehouse(sys.argv[1], Settings.from_environment()).writer() as connection:
    connection.execute("CREATE TABLE raw.held AS SELECT 1")
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_while_a_run_writes_a_warehouse_the_last_values_stay_and_are_said_to_be_old(state: State) -> None:
    filled(state)
    collector = PlatformCollector(state.settings, cache_s=0)
    first = parsed(text_of(collector))
    writer = subprocess.Popen(
        [sys.executable, "-c", HOLD, WARD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "held\n"
        # Its file is another one now, so that it must be read again, and cannot be.
        (state.settings.warehouse / f"{WARD}.duckdb").touch()
        started = time.monotonic()
        during = parsed(text_of(collector))
        assert time.monotonic() - started < 5
    finally:
        writer.communicate("\n", timeout=60)
    assert of(during, "scrape_skipped_cohorts") == 1
    assert of(during, "scored_records", cohort=WARD, tier="Low") == of(first, "scored_records", cohort=WARD, tier="Low")
    assert of(during, "scrape_errors", part="warehouse") == 0
    assert of(parsed(text_of(collector)), "scrape_skipped_cohorts") == 0


def test_what_is_broken_is_absent_and_counted_and_leaves_the_rest_alone(state: State) -> None:
    filled(state)
    collector = PlatformCollector(state.settings, cache_s=0)
    text_of(collector)
    latest = state.settings.data / "reports" / WARD / "drift_report" / "latest.json"
    latest.write_text("{ no report")
    found = parsed(text_of(collector))
    assert of(found, "psi_max", cohort=WARD) is None
    assert of(found, "scrape_errors", part="reports") == 1
    assert of(found, "auroc", cohort=WARD) == 0.7
    (state.settings.serving / WARD / "champion.json").write_text("[]")
    assert of(parsed(text_of(collector)), "scrape_errors", part="champion") == 1


def test_a_reading_is_given_again_for_a_while_and_then_renewed(state: State) -> None:
    state.promote()
    counts = iter([{("a", "failure"): 1}, {("a", "failure"): 2}])
    collector = PlatformCollector(state.settings, run_counts=lambda: next(counts), jobs=["a"], cache_s=1000)
    first, again = parsed(text_of(collector)), parsed(text_of(collector))
    assert first == again
    collector._cache_s = 0
    assert of(parsed(text_of(collector)), "runs", dagster_job="a", status="failure") == 2


def test_the_tally_of_the_ledger_sees_what_came_since_and_begins_anew_when_it_became_shorter(state: State) -> None:
    filled(state)
    collector = PlatformCollector(state.settings, cache_s=0)
    assert of(parsed(text_of(collector)), "ledger_length") == 3
    state.ledger.append("ingestion", actor="ann", cohort=WARD)
    found = parsed(text_of(collector))
    assert of(found, "ledger_length") == 4
    assert of(found, "ledger_entries", action="ingestion") == 2
    write_by_hand(state, "DELETE FROM ledger WHERE seq > 2")  # type: ignore[arg-type]
    found = parsed(text_of(collector))
    assert of(found, "ledger_length") == 2
    assert of(found, "ledger_entries", action="ingestion") is None


def test_a_changed_entry_and_a_changed_verdict_are_seen(state: State) -> None:
    filled(state)
    watch = LedgerWatch(state.records)
    watch.look()
    assert watch.samples()[0] == MetricSample("ledger_intact", 1.0)
    write_by_hand(state, "UPDATE ledger SET actor = 'eve' WHERE seq = 1", "UPDATE verdicts SET verdict = 'pass'")  # type: ignore[arg-type]
    watch.look()
    found = shown(state, watch=watch)
    assert of(found, "ledger_intact") == 0
    assert of(found, "verdicts_changed", cohort=WARD) == 1
    assert of(found, "gate_state", cohort=WARD, gate="bias") == 3


def test_a_refused_training_has_no_gates(state: State) -> None:
    filled(state)
    folder = state.settings.data / "models" / WARD
    refusal = trainings.LatestTraining(refused="a feature knows the outcome", run_id="a run", written_at=utc_now())
    refusal.write(folder / "latest.json")
    assert "gate_state" not in names(shown(state))


def test_a_browser_and_prometheus_get_the_same_text_by_http_from_many_threads(state: State) -> None:
    filled(state)
    server, thread = serve(PlatformCollector(state.settings, cache_s=0), port=0)
    try:
        address = f"http://127.0.0.1:{server.server_port}/metrics"

        def scrape(_: int) -> Found:
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert "text/plain" in answer.headers["Content-Type"]
                return parsed(answer.read().decode())

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(scrape, range(16)))
        changing = {"scrape_duration_seconds"}
        plain = [{key: value for key, value in each.items() if key[0] not in changing} for each in answers]
        assert all(each == plain[0] for each in plain)
        assert of(answers[0], "psi_max", cohort=WARD) == 0.31
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", ""])
def test_an_address_that_others_can_reach_is_refused_with_the_cure(host: str) -> None:
    with pytest.raises(ExporterError) as refused:
        refuse_open(host)
    assert "proxy" in str(refused.value.cure)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_addresses_of_this_machine_alone_are_allowed(host: str) -> None:
    refuse_open(host)


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    server, thread = serve(PlatformCollector(settings), port=0)
    try:
        with pytest.raises(ExporterError, match=str(server.server_port)):
            serve(PlatformCollector(settings), port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_records_server_that_is_away_blinds_nobody_for_the_rest(state: State) -> None:
    filled(state)
    away = replace(state.settings, records_uri="postgresql://nobody:SECRET@127.0.0.1:9/none", lock_patience_s=0.5)
    text = text_of(PlatformCollector(away))
    found = parsed(text)
    assert of(found, "scrape_errors", part="ledger") == 1
    assert "ledger_length" not in names(found)
    assert of(found, "psi_max", cohort=WARD) == 0.31
    assert "SECRET" not in text


def test_the_watch_verifies_in_a_thread_of_its_own(state: State) -> None:
    filled(state)
    looked = threading.Event()

    class Told(LedgerWatch):
        def look(self) -> None:
            super().look()
            looked.set()

    watch = Told(state.records, every_s=1000)
    watch.start()
    try:
        assert looked.wait(30)
        assert of(shown(state, watch=watch), "ledger_intact") == 1
    finally:
        watch.stop()


@given(value=st.floats(allow_nan=True, allow_infinity=True) | st.none())
def test_only_finite_numbers_become_samples(value: float | None) -> None:
    made = sample("auroc", value, "a")
    assert bool(made) == (value is not None and value - value == 0)


@given(words=st.lists(st.text(max_size=5), max_size=30))
def test_a_label_never_grows_beyond_its_vocabulary(words: list[str]) -> None:
    known = {"a", "b"}
    values = [MetricSample("ledger_entries", 1.0, (bounded(word, known),)) for word in words]
    made = [each for family in families(values) for each in family.samples]
    assert {each.labels["action"] for each in made} <= {*known, "other"}
    assert sum(each.value for each in made) == len(words)


def test_no_metric_that_is_shown_lacks_its_words(tmp_path: Path) -> None:
    for name, metric in METRICS.items():
        assert metric.help.endswith("."), name
        assert len(metric.labels) <= 2, name
