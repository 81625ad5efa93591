"""Facts of the ledger: one type per action, which reads and writes what was written since the first version."""

from __future__ import annotations

from typing import Any

import pytest

from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.facts.actions import FACTS
from clinical_assets.records.ledger.facts.models import ChampionFacts, GateVerdictFacts
from clinical_assets.records.ledger.facts.people import LoginFacts
from clinical_assets.records.ledger.ledger import ACTIONS, Ledger

_DIGEST = "sha256:" + "1" * 64
_PERSON = {"change": "added", "login": "ann", "printed_name": "Änn", "roles": ["reviewer"], "accounts": []}
_SIGNATURE = {
    "id": "an id",
    "cohort": "ward",
    "bundle_digest": _DIGEST,
    "dossier_digest": _DIGEST,
    "kind": "waiver",
    "meaning": "I agree.",
    "gate": "bias",
    "criterion": "a criterion",
    "reason": "Watched.",
    "login": "bob",
    "printed_name": "Bob",
    "role": "reviewer",
    "signed_at": "now",
    "expires_at": "then",
}
_CHAMPION = {
    "promotion": "an id",
    "since": "now",
    "before": None,
    "dossier_digest": _DIGEST,
    "signatures": ["one"],
    "plan_digest": _DIGEST,
    "policy_digest": None,
}
# As the code before these types wrote them.
WRITTEN: list[tuple[str, dict[str, Any]]] = [
    ("ingestion", {"run_id": "r", "tables": {"subjects": {"rows": 2, "unreadable_lines": 0}}}),
    ("quarantine", {"run_id": "r", "refused": {"subjects": 2}}),
    ("training", {"run_id": "r", "training": _DIGEST, "selected": "ridge", "n": 5, "events": 1}),
    (
        "training",
        {"from": _DIGEST, "kind": "intercept", "intercept": -0.25, "slope": 1.0, "cause": "c", "evidence": {"a": "b"}},
    ),
    ("retrain", {"cause": _DIGEST, "run_id": "r"}),
    (
        "recommendation",
        {"action": "none", "rule": "adequate", "wanted": None, "cause": "c", "n": 9, "events": 1, "run_id": "r"},
    ),
    (
        "gate_verdict",
        {
            "gate": "bias",
            "gate_run": "g",
            "verdicts_digest": _DIGEST,
            "summary": "pass",
            "pass": 3,
            "fail": 0,
            "insufficient": 1,
        },
    ),
    ("dossier", {"dossier_digest": _DIGEST, "gates": {"bias": "pass"}}),
    ("review", {"dossier_digest": _DIGEST, "blockers": ["unsigned"]}),
    ("review", {"people": _DIGEST, "count": 2, "by": "ann", "reason": "Looked.", "signature": "s"}),
    ("signature", {**_SIGNATURE, "kind": "approval", "gate": None, "criterion": None, "reason": None}),
    ("rejection", {**_SIGNATURE, "public_key": "k", "signature": None}),
    ("waiver", {**_SIGNATURE, "public_key": "k", "signature": "s"}),
    ("promotion", _CHAMPION),
    ("promotion", {**_CHAMPION, "gates": {"bias": _DIGEST}, "required": {"reviewer": 1}, "unattended": False}),
    ("rollback", {**_CHAMPION, "signatures": [], "by": "ann", "public_key": "k", "signature": "s"}),
    (
        "erasure",
        {
            "erasure": "an id",
            "pseudonym": None,
            "pseudonyms": [],
            "tables": {"raw.subjects": 2},
            "mentions": {},
            "snapshots": [{"table": "subjects", "old": "a", "new": "b", "rows": 2}],
            "files": {"inbox": 1},
            "models": [_DIGEST],
            "remaining": 0,
        },
    ),
    ("login", {"login": "ann", "why": None}),
    ("login_refused", {"login": None, "why": "wrong"}),
    ("export", {"file": "a.csv", "format": "csv", "entries": 3}),
    ("person", {**_PERSON, "identity_provider": None, "active": True, "by": None}),
    (
        "person",
        {
            **_PERSON,
            "identity_provider": "sso",
            "active": False,
            "number": 2,
            "public_key": None,
            "secrets_digest": None,
            "by": "eve",
            "signature": "s",
        },
    ),
    ("key_rotation", {"version": 2, "retired": None, "keys_destroyed": 0}),
    ("key_rotation", {"version": None, "retired": 1}),
    ("key_rotation", {"anchors": "restarted", "anchored_before": 7}),
    ("deidentification", {"relations": 2, "unexpected": {"name": 1}, "expected": {}, "files": 0}),
    ("batch", {"tables": {"subjects": 3}, "refused": 0, "run_id": "r", "change": "c"}),
    ("outcomes", {"new": 1, "known": 0, "conflicts": 0, "change": "c"}),
    ("withdrawal", {"rows": {"received.subjects": 3}, "change": "c"}),
    (
        "alert",
        {"kind": "drift", "severity": "warning", "cause": "c", "delivered": ["mail"], "not_delivered_yet": []},
    ),
    ("upgrade", {"before": 1, "after": 2, "entries": 29}),
    ("witness", {"file": "heads", "entry": 3}),
    ("retirement", {**_CHAMPION, "signatures": [], "by": "ann", "public_key": "k", "signature": "s"}),
    ("refusal", {"records": 2, "outcomes": 1, "change": "c", "run_id": "r"}),
    ("prediction_log", {"seq": 3}),
    ("removal", {"places": "warehouse", "bytes": 3}),
    ("rename", {"from": "a", "to": "b"}),
    ("adoption", {"installation": "an id", "copy_of": None, "name": None}),
    ("api_key", {"event": "made", "id": "k", "terms": _DIGEST}),
    ("api_key", {"event": "revoked", "id": "k", "from": "now"}),
    ("api_access", {"since": "a", "until": "b", "refused": {}, "asked": {"k": 2}, "administrative": {}}),
    ("logout", {"login": "ann", "session": "a name"}),
    ("experiment", {"event": "ended", "experiment": "e", "protocol": _DIGEST, "at": "now", "verdict": "halted"}),
    (
        "experiment",
        {
            "event": "raised",
            "experiment": "e",
            "protocol": _DIGEST,
            "at": "now",
            "share": 0.05,
            "by": "ann",
            "role": "reviewer",
            "public_key": "k",
            "signature": "s",
        },
    ),
]


def test_every_action_has_a_type() -> None:
    assert set(FACTS) == set(ACTIONS)
    assert {action for action, _ in WRITTEN} == set(ACTIONS)


@pytest.mark.parametrize(("action", "written"), WRITTEN)
def test_what_was_written_is_read_and_written_byte_for_byte(action: str, written: dict[str, Any]) -> None:
    facts = FACTS[action].found(canonical(written))
    assert facts is not None
    assert facts == FACTS[action].of(written, where="an entry")
    assert canonical(facts.to_json()) == canonical(written)


@pytest.mark.parametrize("changed", ["[]", "nothing", '{"promotion": 1}', '{"odd": 1}', '{"unattended": "true"}'])
def test_what_somebody_changed_gives_no_facts(changed: str) -> None:
    assert ChampionFacts.found(changed) is None


def test_a_value_that_would_be_written_otherwise_gives_no_facts() -> None:
    written = next(facts for action, facts in WRITTEN if action == "gate_verdict")
    assert GateVerdictFacts.found(written) is not None
    assert GateVerdictFacts.found({**written, "pass": "3"}) is None


def test_an_entry_takes_facts_of_its_action_only(records: RecordsDatabase) -> None:
    ledger = Ledger(records)
    with pytest.raises(RecordsError, match="LoginFacts"):
        ledger.append("promotion", actor="ann", facts=LoginFacts(login="ann", why=None))
    entry = ledger.append("login", actor="ann", facts=LoginFacts(login="ann", why=None))
    assert entry.facts == {"login": "ann", "why": None}
