"""What is worth an alert is told once an episode: turns of a report, failed gates, rollbacks, silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assets_tests.worlds.ward.released import write_by_hand
from assets_tests.worlds.ward.state import DIGEST, OTHER_DIGEST, WARD, State
from clinical_assets.governance.verification import EvidencePart, EvidenceReport
from clinical_assets.governance.verification_record import keep_verification
from clinical_assets.observability.alerts.alert import Alert
from clinical_assets.observability.alerts.watch import Seen, Watcher, load_seen, save_seen
from clinical_assets.observability.metrics.descriptions import Descriptions
from clinical_assets.warehouse.intake.inbox_intake import take_in
from clinical_assets.warehouse.store.unentered import enter
from clinical_assets.warehouse.store.warehouse import Warehouse


def look(state: State, seen: Seen, *, now: datetime | None = None) -> list[Alert]:
    return Watcher(state.settings, state.catalogue, state.records, Descriptions()).look(seen, now=now)


def kinds(alerts: list[Alert]) -> list[str]:
    return [each.kind for each in alerts]


def started(state: State) -> Seen:
    seen = Seen()
    look(state, seen)
    return seen


def test_a_report_is_told_of_when_it_turns_and_not_while_it_stays(state: State) -> None:
    seen = started(state)
    for verdict, told in (
        ("insufficient", []),
        ("stable", []),
        ("drift", ["drift"]),
        ("drift", []),
        ("drift", []),
        ("stable", []),
        ("drift", ["drift"]),
    ):
        state.report("drift_report", verdict)
        assert kinds(look(state, seen)) == told, verdict
        assert look(state, seen) == []


def test_two_episodes_have_two_causes(state: State) -> None:
    seen = started(state)
    state.report("performance_report", "worse")
    first = look(state, seen)
    state.report("performance_report", "as promised")
    look(state, seen)
    state.report("performance_report", "worse")
    second = look(state, seen)
    assert first[0].key != second[0].key
    assert first[0].severity == "critical"


def test_another_model_with_the_same_verdict_is_told_of(state: State) -> None:
    seen = started(state)
    state.report("fairness_report", "fail")
    assert kinds(look(state, seen)) == ["fairness"]
    state.report("fairness_report", "fail", bundle_digest=OTHER_DIGEST)
    assert kinds(look(state, seen)) == ["fairness"]


def test_failed_gates_promotions_and_rollbacks_are_told_of_and_what_passed_is_not(state: State) -> None:
    seen = started(state)
    state.judge("security", "pass")
    state.judge("performance", "insufficient")
    assert look(state, seen) == []
    state.judge("bias", "fail")
    state.judge("bias", "fail")
    state.ledger.append("promotion", actor="ann", cohort=WARD, digest=DIGEST)
    for action in ("rollback", "retirement"):
        state.ledger.append(action, actor="ann", cohort=WARD, digest=OTHER_DIGEST, reason="SECRET name of a patient")  # type: ignore[arg-type]
    found = look(state, seen)
    assert kinds(found) == ["gate_failed", "gate_failed", "promotion", "rollback", "retirement"]
    assert found[0].title.endswith("gate bias failed: a criterion")
    # The same bundle fails the same gate: one alert.
    assert found[0].key == found[1].key
    assert look(state, seen) == []


def test_a_delivery_that_no_reader_is_for_is_told_of_once(state: State) -> None:
    seen = started(state)
    settings = replace(state.settings, inbox_settled_s=0.0)
    folder = settings.inbox / WARD
    folder.mkdir(parents=True)
    (folder / "may.rds").write_bytes(b"x")
    spec = state.catalogue.spec(WARD)
    take_in(spec, settings=settings)
    enter(Warehouse(spec.name, settings), state.ledger, actor="automation")
    (told,) = look(state, seen)
    assert (told.kind, told.cohort, told.severity) == ("data_quality", WARD, "warning")
    assert f"data/inbox/{WARD}/refused" in told.text
    assert look(state, seen) == []


def test_evidence_that_is_not_intact_is_told_of_once_a_finding_and_again_when_it_comes_back(state: State) -> None:
    good = EvidencePart("ledger", 3, ())
    first = EvidenceReport((good, EvidencePart("people", 2, ("SECRET is not as an administrator signed.",))))
    other = EvidenceReport((EvidencePart("ledger", 0, ("Entry 1 was changed.",)), good))
    seen = started(state)
    told = []
    for report in (EvidenceReport((good,)), first, first, other, EvidenceReport((good,)), first):
        keep_verification(state.settings, report)
        told.append(look(state, seen))
        assert look(state, seen) == []
    assert [len(each) for each in told] == [0, 1, 0, 1, 0, 1]
    assert {(each.kind, each.severity) for found in told for each in found} == {("evidence", "critical")}
    assert told[1][0].key != told[5][0].key
    assert "people" in told[1][0].title
    assert "SECRET" not in told[1][0].text + told[1][0].title


def test_an_installation_with_history_is_told_of_its_present_and_not_of_its_past(state: State) -> None:
    state.judge("bias", "fail")
    state.ledger.append("rollback", actor="ann", cohort=WARD)
    state.report("drift_report", "drift")
    seen = Seen()
    assert kinds(look(state, seen)) == ["drift"]
    assert seen.seq == 2


def test_a_champion_whose_cohort_falls_silent_is_told_of_once_a_silence(state: State) -> None:
    seen = started(state)
    state.promote()
    now = datetime.now(UTC)
    limit = timedelta(hours=24 * 35)
    assert look(state, seen, now=now + limit - timedelta(hours=1)) == []
    first = look(state, seen, now=now + limit + timedelta(hours=1))
    again = look(state, seen, now=now + limit + timedelta(days=3))
    assert kinds(first) == kinds(again) == ["stale"]
    assert first[0].key == again[0].key
    # A batch ends the silence; the next one is another.
    state.ledger.append("batch", actor="automation:inbox", cohort=WARD)
    assert look(state, seen, now=now + limit - timedelta(hours=1)) == []
    (next_one,) = look(state, seen, now=now + 2 * limit)
    assert next_one.key != first[0].key


def test_without_a_champion_nobody_waits_for_records(state: State) -> None:
    state.ledger.append("batch", actor="automation:inbox", cohort=WARD)
    assert look(state, started(state), now=datetime.now(UTC) + timedelta(days=4000)) == []


def test_a_ledger_that_lost_entries_is_told_of(state: State) -> None:
    for _ in range(3):
        state.ledger.append("ingestion", actor="ann", cohort=WARD)
    seen = started(state)
    write_by_hand(state, "DELETE FROM ledger WHERE seq > 1")  # type: ignore[arg-type]
    (found,) = look(state, seen)
    assert (found.kind, found.severity, found.cohort) == ("ledger", "critical", None)
    assert look(state, seen) == []


def test_no_free_text_no_summary_and_no_actor_stands_in_an_alert_and_synthetic_cohorts_are_named_so(
    state: State,
) -> None:
    seen = started(state)
    state.promote(since="2020-01-01T00:00:00.000000+00:00")
    for name, verdict in (("drift_report", "drift"), ("data_quality_report", "alarm")):
        state.report(name, verdict)  # type: ignore[arg-type]
    state.report("update_recommendation", "ask", action="ask", rule="plan", n=10, events=2, reason="SECRET reason")
    state.judge("bias", "fail")
    state.ledger.append("rollback", actor="SECRET", cohort=WARD, reason="SECRET")
    found = look(state, seen)
    assert {"drift", "data_quality", "recommendation", "gate_failed", "rollback", "stale"} == set(kinds(found))
    for each in found:
        assert "SECRET" not in str(each)
        assert each.title.startswith(f"{WARD} (synthetic)")


def test_one_part_that_cannot_be_read_does_not_silence_the_others(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    seen = started(state)
    state.promote("heart_disease", since="2020-01-01T00:00:00.000000+00:00")
    state.promote(WARD)
    (state.settings.serving / WARD / "champion.json").write_text("[]")
    state.report("drift_report", "drift")
    (state.settings.data / "reports" / WARD / "drift_report" / "latest.json").write_text("{ broken")
    state.report("fairness_report", "fail")
    assert kinds(look(state, seen)) == ["fairness", "stale"]
    assert f"the drift_report of {WARD} could not be looked at" in caplog.text
    assert "is no JSON object" in caplog.text


def test_what_was_seen_outlives_the_process_and_a_broken_file_counts_as_nothing_seen(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    seen = started(state)
    state.report("drift_report", "drift")
    look(state, seen)
    save_seen(state.settings, seen)
    assert look(state, load_seen(state.settings)) == []
    (state.settings.alerts / "watched.json").write_text("[]")
    assert kinds(look(state, load_seen(state.settings))) == ["drift"]
    assert "cannot be read" in caplog.text


def test_a_broken_description_is_told_of_once_where_it_matters(state: State) -> None:
    seen = started(state)
    path = state.settings.catalogue[0] / f"{WARD}.yaml"
    sound = path.read_text(encoding="utf-8")
    path.write_text("name: [\n", encoding="utf-8")
    # A cohort that neither serves nor has data concerns nobody yet.
    assert "description" not in kinds(look(state, seen))
    state.promote()
    first, again = look(state, seen), look(state, seen)
    assert kinds(first) == kinds(again) == ["description"]
    assert first[0].key == again[0].key
    assert WARD in first[0].title
    path.write_text("titel: x\n", encoding="utf-8")
    assert look(state, seen)[0].key != first[0].key
    path.write_text(sound, encoding="utf-8")
    assert look(state, seen) == []
