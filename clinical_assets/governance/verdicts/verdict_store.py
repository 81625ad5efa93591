"""What gates said, kept for good: rows that never change, an entry in the audit ledger, and a digest over both.

The ledger decides which evaluation is the newest; the rows are what it points to. A row that was changed, a run that
was taken out and a run that nobody entered are noticed on reading.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import sqlalchemy as sa

from clinical_assets.foundation.canonical import canonical_json, value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict, summary
from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.facts.models import GateVerdictFacts
from clinical_assets.records.ledger.ledger import Ledger

ACTION: Final = "gate_verdict"
#: Fact of the entry: criteria that failed, without the groups that they speak of.
_LONGEST = {"criterion": 200, "limit": 200}
_HEAD = ("id", "cohort", "bundle_digest", "gate", "evaluated_at", "run_id")
_NUMBERS = ("value", "ci_low", "ci_high", "n", "events")


class VerdictsChanged(ClinicalAssetsError):
    """Stored verdicts that are not what the gate said."""


class UnusableVerdicts(ClinicalAssetsError):
    """Verdicts that cannot be stored."""


@dataclass(frozen=True)
class GateRun:
    """One evaluation of one gate on one bundle.

    Attributes
    ----------
    id : str
    cohort, bundle_digest, gate
        What was judged, by which gate.
    evaluated_at : str
        ISO 8601, UTC.
    run_id : str or None
        The run that evaluated it.
    verdicts : tuple of Verdict
        In the order in which the gate gave them.
    verdicts_digest : str
        Of all of the above.
    ledger_seq : int
        The ledger's entry.
    """

    id: str
    cohort: str
    bundle_digest: str
    gate: Gate
    evaluated_at: str
    run_id: str | None
    verdicts: tuple[Verdict, ...]
    verdicts_digest: str
    ledger_seq: int

    def document(self) -> dict[str, Any]:
        """All of it but digest and entry, as the plain values that the digest is over."""
        return _document(self.__dict__, self.verdicts)

    @property
    def outcome(self) -> Outcome:
        """What the verdicts add up to."""
        return summary(self.verdicts)


def store_verdicts(
    records: RecordsDatabase,
    *,
    cohort: str,
    bundle_digest: str,
    gate: Gate,
    verdicts: Sequence[Verdict],
    actor: str,
    run_id: str | None,
    basis: str | None = None,
) -> GateRun:
    """Keep what a gate said: rows and ledger entry in one transaction; ``basis`` is the digest of what they rest on.

    Raises
    ------
    UnusableVerdicts
        There is none, one is of another gate, or two have the same criterion.
    """
    _refuse_unusable(gate, verdicts)
    kept = tuple(_plain(verdict) for verdict in verdicts)
    head: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "cohort": cohort,
        "bundle_digest": bundle_digest,
        "gate": gate,
        "evaluated_at": utc_now(),
        "run_id": run_id,
    }
    digest = _digest(head, kept)
    counts = Counter(verdict.verdict for verdict in kept)
    failed = tuple(sorted({each.criterion.partition("[")[0] for each in kept if each.verdict == "fail"}))
    facts = GateVerdictFacts(
        gate=gate,
        gate_run=head["id"],
        verdicts_digest=digest,
        summary=summary(kept),
        passed=counts["pass"],
        fail=counts["fail"],
        insufficient=counts["insufficient"],
    )
    more = {**({"failed_criteria": failed} if failed else {}), **({} if basis is None else {"basis": basis})}
    facts = facts.model_copy(update=more)
    with records.write() as connection:
        entry = Ledger(records).append(
            ACTION, actor=actor, cohort=cohort, digest=bundle_digest, facts=facts, connection=connection
        )
        connection.execute(sa.insert(schema.gate_runs).values(**head, verdicts_digest=digest, ledger_seq=entry.seq))
        connection.execute(
            sa.insert(schema.verdicts),
            [
                {
                    **{name: value for name, value in _row(verdict).items() if name != "gate"},
                    "gate_run": head["id"],
                    "position": position,
                    "evidence": _text(verdict.evidence),
                }
                for position, verdict in enumerate(kept)
            ],
        )
    return GateRun(**head, verdicts=kept, verdicts_digest=digest, ledger_seq=entry.seq)


def latest_verdicts(records: RecordsDatabase, *, bundle_digest: str) -> dict[Gate, GateRun]:
    """The newest evaluation of each gate on a bundle, by gate; a gate that never ran is absent.

    Raises
    ------
    VerdictsChanged
        A row is not what the ledger says it was, or a run is missing; names it. Whether the ledger itself was changed
        is the question of ``Ledger.verify``.
    """
    newest: dict[str, Entry] = {}
    for entry in Ledger(records).entries(action=ACTION, digest=bundle_digest):
        newest[_facts(entry).gate] = entry
    with records.read() as connection:
        _refuse_unentered(connection, bundle_digest, {name: entry.seq for name, entry in newest.items()})
        return {cast("Gate", gate): _load(connection, entry) for gate, entry in newest.items()}


def _refuse_unusable(gate: Gate, verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        raise UnusableVerdicts(f"gate {gate} gave no verdict.", cure="A gate that cannot judge says insufficient.")
    names = Counter(verdict.criterion for verdict in verdicts)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise UnusableVerdicts(f"gate {gate} judged {twice[0]} {names[twice[0]]} times.", cure="Name criteria apart.")
    for verdict in verdicts:
        if verdict.gate != gate:
            raise UnusableVerdicts(f"criterion {verdict.criterion} is of gate {verdict.gate}, not {gate}.")
        for name, longest in _LONGEST.items():
            if len(getattr(verdict, name) or "") > longest:
                raise UnusableVerdicts(
                    f"gate {gate}: the {name} of {verdict.criterion[:60]} is longer than {longest} characters.",
                    cure="Put the long part into the reason or the evidence.",
                )


def _plain(verdict: Verdict) -> Verdict:
    """The verdict as it reads back: evidence as JSON has it, numbers as Python's own."""
    kinds = {"value": float, "ci_low": float, "ci_high": float, "n": int, "events": int}
    # SQLite keeps a negative zero as zero; adding zero makes it one before the digest is taken.
    numbers = {name: kinds[name](x) + 0 for name in _NUMBERS if (x := getattr(verdict, name)) is not None}
    return Verdict(
        verdict.gate,
        verdict.criterion,
        verdict.verdict,
        verdict.reason,
        limit=verdict.limit,
        evidence=json.loads(_text(verdict.evidence)),
        **numbers,
    )


def _row(verdict: Verdict) -> dict[str, Any]:
    return {**verdict.row(), "evidence": dict(verdict.evidence)}


def _text(evidence: Mapping[str, Any]) -> str:
    return canonical_json(dict(evidence))


def _digest(head: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    return value_digest(_document(head, verdicts))


def _document(head: Mapping[str, Any], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {**{name: head[name] for name in _HEAD}, "verdicts": [_row(verdict) for verdict in verdicts]}


def _refuse_unentered(connection: sa.Connection, bundle_digest: str, known: Mapping[str, int]) -> None:
    """A run that no entry speaks of was put there by other means."""
    runs = schema.gate_runs
    rows = connection.execute(
        sa.select(runs.c.id, runs.c.gate, runs.c.ledger_seq).where(runs.c.bundle_digest == bundle_digest)
    ).all()
    for identifier, gate, seq in rows:
        if seq > known.get(gate, 0):
            raise VerdictsChanged(
                f"gate run {identifier} ({gate}) has no entry in the audit ledger.",
                cure="Verify the ledger, find out who wrote the row, and evaluate the gate again.",
            )


def _facts(entry: Entry) -> GateVerdictFacts:
    facts = GateVerdictFacts.found(entry.facts)
    if facts is None:
        raise VerdictsChanged(
            f"ledger entry {entry.seq} about a gate cannot be read.",
            cure="Verify the ledger, find out who changed it, and evaluate the gate again.",
        )
    return facts


def _load(connection: sa.Connection, entry: Entry) -> GateRun:
    entered = _facts(entry)
    identifier, gate = entered.gate_run, entered.gate
    cure = "Verify the ledger, find out who changed the database, and evaluate the gate again."
    runs, rows = schema.gate_runs, schema.verdicts
    found = connection.execute(sa.select(runs).where(runs.c.id == identifier)).mappings().one_or_none()
    if found is None:
        raise VerdictsChanged(
            f"gate run {identifier} ({gate}) of ledger entry {entry.seq} is not in the database.", cure=cure
        )
    head = {name: found[name] for name in _HEAD}
    query = sa.select(rows).where(rows.c.gate_run == identifier).order_by(rows.c.position)
    stored = connection.execute(query).mappings().all()
    if [row["position"] for row in stored] != list(range(len(stored))):
        # The digest holds the order; it does not hold the numbers that the order is read from.
        raise VerdictsChanged(
            f"verdicts of gate run {identifier} ({gate}) were numbered anew after the gate gave them.", cure=cure
        )
    try:
        verdicts = tuple(
            Verdict(
                found["gate"],
                row["criterion"],
                row["verdict"],
                row["reason"],
                limit=row["limit"],
                evidence=json.loads(row["evidence"]),
                **{name: row[name] for name in _NUMBERS},
            )
            for row in stored
        )
        digest = _digest(head, verdicts)
    except (TypeError, ValueError) as error:
        raise VerdictsChanged(
            f"verdicts of gate run {identifier} ({gate}) cannot be read: {error}.", cure=cure
        ) from error
    if not digest == found["verdicts_digest"] == entered.verdicts_digest or found["ledger_seq"] != entry.seq:
        raise VerdictsChanged(
            f"verdicts of gate run {identifier} ({gate}, {head['evaluated_at']}) were changed after the gate gave "
            f"them: their digest is {digest}, ledger entry {entry.seq} says {entered.verdicts_digest}.",
            cure=cure,
        )
    return GateRun(**head, verdicts=verdicts, verdicts_digest=digest, ledger_seq=entry.seq)
