"""What a gate said reads back to the letter, the newest counts, and any change of it is noticed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from assets_tests.worlds.ward.trained import AUTHOR, Trained
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.gates import evaluation
from clinical_assets.governance.gates.bias import gate as bias
from clinical_assets.governance.gates.evaluation import GateBroken, evaluate_gates
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.governance.verdicts.verdict_store import (
    UnusableVerdicts,
    VerdictsChanged,
    latest_verdicts,
    store_verdicts,
)
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

DIGEST = f"sha256:{'a' * 64}"
GOOD = Verdict("bias", "tpr_difference[sex=f]", "pass", "No breach.", value=0.1, limit="<= 0.2", n=80, events=12)
BAD = Verdict("bias", "fpr_difference[sex=f]", "fail", "Far apart.", value=0.5, ci_low=0.4, ci_high=1 / 3 + 0.3)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def _store(records: RecordsDatabase, *verdicts: Verdict, run_id: str | None = "r1") -> str:
    return store_verdicts(
        records, cohort="ward", bundle_digest=DIGEST, gate="bias", verdicts=verdicts, actor="ann", run_id=run_id
    ).id


@pytest.fixture
def records(settings: Settings) -> RecordsDatabase:
    return RecordsDatabase(settings)


@contextmanager
def _behind_the_back(settings: Settings) -> Iterator[sqlite3.Connection]:
    """The database file as someone with a disk sees it: without the triggers that refuse changes."""
    with closing(sqlite3.connect(Path(settings.records) / "records.sqlite")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        yield connection
        connection.commit()


@examples(max_examples=25)
@given(
    value=numbers,
    low=numbers,
    n=st.none() | st.integers(0, 2**40),
    evidence=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.booleans())),
)
@example(value=-0.0, low=None, n=None, evidence={})
def test_a_verdict_reads_back_as_it_was_given(
    settings: Settings, value: float | None, low: float | None, n: int | None, evidence: dict[str, object]
) -> None:
    records = RecordsDatabase(settings)
    given_one = Verdict("bias", "c", "insufficient", "Why.", value=value, ci_low=low, n=n, evidence=evidence)
    _store(records, given_one, GOOD)
    assert latest_verdicts(records, bundle_digest=DIGEST)["bias"].verdicts == (given_one, GOOD)


def test_the_newest_evaluation_of_a_gate_counts_and_is_in_the_ledger(records: RecordsDatabase) -> None:
    _store(records, GOOD)
    newer = _store(records, GOOD, BAD)
    (found,) = latest_verdicts(records, bundle_digest=DIGEST).values()
    assert (found.id, found.outcome, found.run_id) == (newer, "fail", "r1")
    entries = Ledger(records).entries(action="gate_verdict", digest=DIGEST)
    assert [entry.facts["fail"] for entry in entries] == [0, 1]
    assert entries[-1].seq == found.ledger_seq
    assert entries[-1].facts["verdicts_digest"] == found.verdicts_digest
    assert latest_verdicts(records, bundle_digest=f"sha256:{'b' * 64}") == {}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verdicts SET verdict = 'pass'",
        "UPDATE verdicts SET value = 0.100000000000001 WHERE verdict = 'pass'",
        "UPDATE verdicts SET \"limit\" = '<= 9'",
        "UPDATE verdicts SET reason = reason || ' '",
        "UPDATE verdicts SET evidence = '{\"a\":1}'",
        "UPDATE verdicts SET evidence = 'no json'",
        "UPDATE verdicts SET verdict = 'nonsense', value = NULL",
        "DELETE FROM verdicts WHERE verdict = 'fail'",
        "UPDATE verdicts SET position = 1 - position",
        "UPDATE gate_runs SET evaluated_at = '2020-01-01T00:00:00.000000+00:00'",
        "UPDATE gate_runs SET ledger_seq = 99",
        "DELETE FROM gate_runs",
    ],
)
def test_a_change_in_the_database_is_noticed_on_reading(
    records: RecordsDatabase, settings: Settings, change: str
) -> None:
    identifier = _store(records, GOOD, BAD)
    latest_verdicts(records, bundle_digest=DIGEST)
    with _behind_the_back(settings) as connection:
        connection.execute(change)
    with pytest.raises(VerdictsChanged, match=identifier):
        latest_verdicts(records, bundle_digest=DIGEST)


def test_changed_rows_with_a_matching_digest_are_still_not_what_the_ledger_says(
    records: RecordsDatabase, settings: Settings
) -> None:
    first = _store(records, BAD)
    forged = _store(records, GOOD)
    with _behind_the_back(settings) as connection:
        # The passing run takes the place of the failing one, whole and consistent in itself.
        connection.execute("DELETE FROM verdicts WHERE gate_run = ?", (first,))
        connection.execute("DELETE FROM gate_runs WHERE id = ?", (first,))
        connection.execute("UPDATE gate_runs SET bundle_digest = ?", (f"sha256:{'c' * 64}",))
    with pytest.raises(VerdictsChanged, match=forged):
        latest_verdicts(records, bundle_digest=DIGEST)


def test_a_run_without_an_entry_in_the_ledger_is_noticed(records: RecordsDatabase, settings: Settings) -> None:
    _store(records, BAD)
    with _behind_the_back(settings) as connection:
        connection.execute(
            "INSERT INTO gate_runs SELECT 'planted', cohort, bundle_digest, gate, evaluated_at, run_id, "
            "verdicts_digest, ledger_seq + 1 FROM gate_runs"
        )
    with pytest.raises(VerdictsChanged, match="planted"):
        latest_verdicts(records, bundle_digest=DIGEST)


def test_what_cannot_be_kept_is_refused_and_leaves_no_trace(records: RecordsDatabase) -> None:
    other = Verdict("security", "c", "pass", "Fine.")
    long = Verdict("bias", "c" * 201, "pass", "Fine.")
    for verdicts in ((), (GOOD, GOOD), (other,), (long,)):
        with pytest.raises(UnusableVerdicts):
            _store(records, *verdicts)
    assert latest_verdicts(records, bundle_digest=DIGEST) == {}
    assert Ledger(records).entries(action="gate_verdict") == ()


def test_gates_are_evaluated_and_stored_one_by_one(trained: Trained) -> None:
    candidate = trained.candidate()
    told: list[str] = []
    said = evaluate_gates(candidate, gates=("bias", "data_quality"), actor=AUTHOR, run_id="r", progress=told.append)
    stored = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    assert list(said) == ["bias", "data_quality"]
    assert {gate: run.verdicts for gate, run in stored.items()} == said
    assert len(told) == 2


def test_a_gate_that_breaks_takes_its_earlier_pass_away_and_the_others_still_run(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = trained.candidate()
    evaluate_gates(candidate, gates=("bias",), actor=AUTHOR)

    def broken(_: object) -> tuple[Verdict, ...]:
        raise InsufficientData("the rows are gone", cure="Bring them back.")

    monkeypatch.setattr(bias, "evaluate", broken)
    with pytest.raises(GateBroken, match="the rows are gone"):
        evaluate_gates(candidate, gates=("bias", "data_quality"), actor=AUTHOR)
    stored = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    assert [verdict.criterion for verdict in stored["bias"].verdicts] == [evaluation.BROKEN]
    assert stored["bias"].outcome == "fail"
    assert stored["data_quality"].outcome == "pass"
