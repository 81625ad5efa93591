"""Experiments on record: which protocol was signed by whom, what goes on at which share, and how each ended.

What belongs here: reading them back, and what counts. What does not: changing them (``decisions``).

The ledger is the record. An entry counts if this installation sealed it and, where it names a person, if the key that
the person had at that moment signed it; the row of a protocol counts if its digest is the one that the entries name.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.signing.person_keys import is_signed_by
from clinical_assets.governance.signing.roster import Roster, sound_roster
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.appending import is_vouched_for
from clinical_assets.records.ledger.facts.experiments import ExperimentFacts
from clinical_assets.records.ledger.ledger import LedgerAction

ACTION: LedgerAction = "experiment"
#: What a key signs it as.
WHAT = "experiment"


class ExperimentError(ClinicalAssetsError):
    """An experiment that is unknown, or not what was signed."""


@dataclass(frozen=True)
class RaisedShare:
    """A share of treatment, and since when (UTC) it holds."""

    share: float
    since: str


@dataclass(frozen=True)
class Experiment:
    """An experiment as the records have it.

    Attributes
    ----------
    protocol : ExperimentProtocol
        As it was signed.
    signers : mapping
        Login to role, in the order of signing.
    lacking : mapping
        Role to number of signatures that are still lacking; empty once it has started.
    stages : tuple of RaisedShare
        Every share so far; empty before the start.
    salt : str or None
        Of the assignment.
    end : ExperimentFacts or None
        How it ended.
    end_reason : str or None
        In a sentence, as the ledger has it.
    """

    protocol: ExperimentProtocol
    signers: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, int] = field(default_factory=dict)
    stages: tuple[RaisedShare, ...] = ()
    salt: str | None = None
    end: ExperimentFacts | None = None
    end_reason: str | None = None

    @property
    def runs(self) -> bool:
        """Whether requests take part in it now."""
        return bool(self.stages) and self.end is None

    @property
    def share(self) -> float:
        """Share that the challenger answers for now."""
        return self.stages[-1].share if self.runs else 0.0

    @property
    def state(self) -> str:
        """In one word: ``unsigned``, ``silent``, ``live``, or its verdict."""
        if self.end is not None:
            return str(self.end.verdict)
        if not self.stages:
            return "unsigned"
        return "live" if self.share > 0 else "silent"


def experiments_of(
    records: RecordsDatabase, cohort: str, *, connection: sa.Connection | None = None
) -> tuple[Experiment, ...]:
    """All experiments of a cohort, the oldest first.

    Raises
    ------
    ExperimentError
        A protocol or an entry is not what was signed.
    Refused
        ``people_changed``.
    """
    if connection is None:
        with records.read() as own:
            return experiments_of(records, cohort, connection=own)
    found: dict[str, Experiment] = {}
    table, ledger = schema.experiments, schema.ledger
    for row in connection.execute(sa.select(table).where(table.c.cohort == cohort).order_by(table.c.ledger_seq)):
        found[row.digest] = Experiment(_protocol(row))
    if not found:
        return ()
    roster = sound_roster(connection, records.settings)
    entries = sa.select(ledger).where(ledger.c.cohort == cohort, ledger.c.action == ACTION).order_by(ledger.c.seq)
    for entry in connection.execute(entries):
        facts = ExperimentFacts.found(entry.facts)
        problem = _problem(connection, records, entry, facts, roster, found)
        if problem is not None or facts is None:
            raise ExperimentError(
                f"Ledger entry {entry.seq} about an experiment of {cohort} {problem}.",
                cure="Restore the database of records from a backup and find out who wrote into it: clinical-assets "
                "audit verify --all",
            )
        found[facts.protocol] = _after(found[facts.protocol], facts, entry.reason)
    return tuple(found.values())


def experiment_of(records: RecordsDatabase, cohort: str, name: str) -> Experiment:
    """The newest experiment of this name; errors as `experiments_of`, and `ExperimentError` where there is none."""
    named = [each for each in experiments_of(records, cohort) if each.protocol.name == name]
    if not named:
        raise ExperimentError(
            f"{cohort} has no experiment {name!r} on record.",
            cure=f"Sign its protocol: clinical-assets experiment start {cohort} {name} --as LOGIN",
        )
    return named[-1]


def running_experiment(
    records: RecordsDatabase, cohort: str, *, connection: sa.Connection | None = None
) -> Experiment | None:
    """The one that goes on, of which there is at most one; errors as `experiments_of`."""
    return next((each for each in experiments_of(records, cohort, connection=connection) if each.runs), None)


def lacking_signatures(protocol: ExperimentProtocol, signers: Mapping[str, str]) -> dict[str, int]:
    """Role to number of signatures that are still lacking."""
    given = list(signers.values())
    left = {each.role: each.count - given.count(each.role) for each in protocol.decides}
    return {role: number for role, number in left.items() if number > 0}


def _protocol(row: Any) -> ExperimentProtocol:
    protocol = None
    # Whatever its fields say now: a document that was changed may be none at all.
    with contextlib.suppress(ValueError):
        protocol = ExperimentProtocol.model_validate(json.loads(row.document))
    if protocol is None or (protocol.digest, protocol.cohort, protocol.name) != (row.digest, row.cohort, row.name):
        raise ExperimentError(
            f"The protocol {row.name} of {row.cohort} is not the one that was signed.",
            cure="Restore the database of records from a backup and find out who wrote into it.",
        )
    return protocol


def _problem(
    connection: sa.Connection,
    records: RecordsDatabase,
    entry: Any,
    facts: ExperimentFacts | None,
    roster: Roster,
    known: Mapping[str, Experiment],
) -> str | None:
    """Why an entry does not count, or None."""
    if facts is None or entry.digest != facts.protocol:
        return "cannot be read"
    if facts.protocol not in known:
        return "is of a protocol that is not on record"
    if not is_vouched_for(connection, entry, records.settings):
        return "was not sealed by this installation"
    if facts.by is None:
        # An automation may end an experiment, and do nothing else.
        return None if facts.event == "ended" and facts.verdict != "stopped" else "is signed by nobody"
    signer = roster.at(facts.by, entry.seq)
    if signer is None or not signer.active or signer.public_key is None or signer.public_key != facts.public_key:
        return "is of somebody who might not sign then"
    if facts.role not in signer.roles or facts.role not in known[facts.protocol].protocol.roles:
        return f"was signed as {facts.role}, which its signer was not then or who does not decide"
    if not is_signed_by(signer.public_key, WHAT, facts.signed_content(), str(facts.signature)):
        return "does not have the signature of its signer's key"
    return None


def _after(experiment: Experiment, facts: ExperimentFacts, reason: str | None) -> Experiment:
    if facts.event == "signed":
        signers = {**experiment.signers, str(facts.by): str(facts.role)}
        return replace(experiment, signers=signers, lacking=lacking_signatures(experiment.protocol, signers))
    if facts.event == "ended":
        return experiment if experiment.end is not None else replace(experiment, end=facts, end_reason=reason)
    stages = (*experiment.stages, RaisedShare(float(facts.share or 0.0), facts.at))
    return replace(experiment, stages=stages, salt=facts.salt or experiment.salt)
