"""``clinical-assets gates`` prints what was stored, in rows or JSON, and its exit code says what it came to."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from assets_tests.worlds.ward.trained import AUTHOR, COHORT, Trained
from clinical_assets.cli.main import app
from clinical_assets.governance.verdicts.verdict import GATES, Outcome, Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts

KEYS = ["gate", "criterion", "verdict", "value", "limit", "ci_low", "ci_high", "n", "events", "reason"]


@pytest.fixture(autouse=True)
def _fresh(trained: Trained) -> None:
    assert trained.settings.data.exists()


def _store(trained: Trained, outcome: Outcome, *, gates: tuple[str, ...] = GATES) -> None:
    candidate = trained.candidate()
    for gate in GATES:
        if gate in gates:
            store_verdicts(
                candidate.records,
                cohort=COHORT,
                bundle_digest=candidate.digest,
                gate=gate,
                verdicts=[Verdict(gate, "c", outcome, "Because.", value=0.5, evidence={"more": 1})],
                actor=AUTHOR,
                run_id=None,
            )


@pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 1), ("insufficient", 3)])
def test_the_exit_code_says_what_the_gates_came_to(trained: Trained, outcome: Outcome, code: int) -> None:
    _store(trained, outcome)
    for arguments in (["gates", COHORT], ["gates", COHORT, "--json"]):
        assert CliRunner().invoke(app, arguments).exit_code == code


def test_json_has_one_row_a_criterion_with_exactly_these_keys(trained: Trained) -> None:
    _store(trained, "pass")
    rows = json.loads(CliRunner().invoke(app, ["gates", COHORT, "--json"]).stdout)
    assert [row["gate"] for row in rows] == list(GATES)
    assert all(list(row) == KEYS for row in rows)


@pytest.mark.parametrize(("outcome", "shown"), [("fail", 5), ("insufficient", 0)])
def test_failing_shows_only_what_failed(trained: Trained, outcome: Outcome, shown: int) -> None:
    _store(trained, outcome)
    assert len(json.loads(CliRunner().invoke(app, ["gates", COHORT, "--failing", "--json"]).stdout)) == shown
    said = CliRunner().invoke(app, ["gates", COHORT, "--failing"]).stdout
    assert said.count("(fail)") == shown
    assert ("No criterion" in said) == (shown == 0)


def test_a_gate_that_never_ran_is_no_pass(trained: Trained) -> None:
    _store(trained, "pass", gates=("bias", "security"))
    said = CliRunner().invoke(app, ["gates", COHORT])
    assert said.exit_code == 3
    assert "performance: not evaluated yet" in said.stdout
    assert "SYNTHETIC" in said.stdout


def _told(trained: Trained, *told: Verdict) -> None:
    candidate = trained.candidate()
    for gate in GATES:
        mine = [each for each in told if each.gate == gate] or [Verdict(gate, "c", "pass", "Because.")]
        store_verdicts(
            candidate.records,
            cohort=COHORT,
            bundle_digest=candidate.digest,
            gate=gate,
            verdicts=mine,
            actor=AUTHOR,
            run_id=None,
        )


def test_what_needs_a_person_stands_first_and_what_passed_is_only_counted(trained: Trained) -> None:
    _told(
        trained,
        Verdict("data_quality", "calm", "pass", "All is well."),
        Verdict("bias", "open", "insufficient", "Nobody can say."),
        Verdict("security", "broken", "fail", "It is open.", value=0.5, ci_low=0.4, ci_high=0.6, limit="< 0.1", n=9),
    )
    lines = CliRunner().invoke(app, ["gates", COHORT]).stdout.splitlines()
    failed = lines.index("- security/broken (fail): 0.5 (0.4 to 0.6), limit < 0.1, n 9")
    open_ = lines.index("- bias/open (insufficient)")
    gates = lines.index("Gates")
    assert failed < open_ < gates
    assert (lines[failed + 1], lines[open_ + 1]) == ("  It is open.", "  Nobody can say.")
    assert "1 failed" in lines[failed - 1]
    assert "1 could not be judged" in lines[failed - 1]
    assert not [line for line in lines if "calm" in line or "All is well." in line]
    every = CliRunner().invoke(app, ["gates", COHORT, "--all"]).stdout
    assert "All is well." in every
    assert every.index("broken") < every.index("calm")


def test_in_a_narrow_terminal_numbers_stand_in_a_table_and_reasons_in_full_lines_above_it(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clinical_assets.cli import output

    reason = "Nobody can say, because " + "it is unknown and " * 10 + "so on."
    _told(trained, Verdict("bias", "held", "pass", f"Held. {reason}"), Verdict("bias", "open", "insufficient", reason))
    wide = CliRunner().invoke(app, ["gates", COHORT, "--all"]).stdout
    monkeypatch.setattr(output.out, "_width", 100)
    narrow = CliRunner().invoke(app, ["gates", COHORT, "--all"]).stdout

    assert f"Held. {reason}" in wide
    assert f"  {reason}" in narrow.splitlines()
    assert "Held." not in narrow
    table = narrow[narrow.index("criterion", narrow.index("bias: ")) :].splitlines()
    assert all(len(line) <= 100 for line in table[:3])
    assert [line.split()[:2] for line in table[1:3]] == [["held", "pass"], ["open", "insufficient"]]
