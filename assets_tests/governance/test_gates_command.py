"""``clinical-assets gates`` prints what was stored, in rows or JSON, and its exit code says what it came to."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from assets_tests.governance.trained import AUTHOR, COHORT, Trained
from clinical_assets.cli import context
from clinical_assets.cli.main import app
from clinical_assets.governance.verdict_store import store_verdicts
from clinical_assets.governance.verdicts import GATES, Outcome, Verdict

KEYS = ["gate", "criterion", "verdict", "value", "limit", "ci_low", "ci_high", "n", "events", "reason"]


@pytest.fixture(autouse=True)
def _fresh(trained: Trained) -> None:
    assert trained.settings.data.exists()
    context.settings.cache_clear()
    context.catalogue.cache_clear()


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


def test_a_gate_that_never_ran_is_no_pass(trained: Trained) -> None:
    _store(trained, "pass", gates=("bias", "security"))
    said = CliRunner().invoke(app, ["gates", COHORT])
    assert said.exit_code == 3
    assert "performance: not evaluated yet" in said.stdout
    assert "SYNTHETIC" in said.stdout


def test_in_a_narrow_terminal_numbers_stand_in_a_table_and_reasons_of_what_did_not_pass_below_it(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clinical_assets.cli import output

    candidate = trained.candidate()
    reason = "Nobody can say, because " + "it is unknown and " * 10 + "so on."
    told = [Verdict("bias", "held", "pass", f"Held. {reason}"), Verdict("bias", "open", "insufficient", reason)]
    store_verdicts(
        candidate.records,
        cohort=COHORT,
        bundle_digest=candidate.digest,
        gate="bias",
        verdicts=told,
        actor=AUTHOR,
        run_id=None,
    )
    wide = CliRunner().invoke(app, ["gates", COHORT]).stdout
    monkeypatch.setattr(output.out, "_width", 100)
    narrow = CliRunner().invoke(app, ["gates", COHORT]).stdout

    assert f"Held. {reason}" in wide
    assert f"- open (insufficient): {reason}" in narrow.splitlines()
    assert "Held." not in narrow
    table = narrow[narrow.index("criterion") : narrow.index("- open")].splitlines()
    assert all(len(line) <= 100 for line in table)
    assert [line.split()[:2] for line in table[1:3]] == [["held", "pass"], ["open", "insufficient"]]
