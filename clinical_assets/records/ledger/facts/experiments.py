"""What became of an experiment: signed, started, raised, ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clinical_assets.records.ledger.facts.base import LedgerFacts

ExperimentEvent = Literal["signed", "started", "raised", "ended"]
#: Numbers and words behind an end.
Evidence = dict[str, int | float | str | None]
ExperimentVerdict = Literal["promote", "roll_back", "inconclusive", "halted", "stopped"]


class ExperimentFacts(LedgerFacts):
    """An event of an experiment.

    Attributes
    ----------
    event : str
        ``signed`` by one person; ``started``, with the last signature that was lacking; ``raised`` to another share;
        ``ended``.
    experiment, protocol : str
        Its name, and the digest of its protocol.
    at : str
        UTC.
    salt : str or None
        Of the assignment, since the start.
    share : float or None
        From this event on.
    verdict : str or None
        Of an end: ``promote``, ``roll_back``, ``inconclusive``, ``halted`` (its assignment or its models are not what
        was planned) or ``stopped`` by a person.
    rule : str or None
        What led to it: ``net_benefit``, a guardrail, ``allocation`` ...
    evidence : dict
        Its numbers; counts and estimates, no record.
    by, printed_name, role, meaning, public_key, signature : str or None
        Who signed; None where an automation acted.
    """

    event: ExperimentEvent
    experiment: str
    protocol: str
    at: str
    salt: str | None = None
    share: float | None = None
    verdict: ExperimentVerdict | None = None
    rule: str | None = None
    evidence: Evidence = Field(default_factory=dict)
    by: str | None = None
    printed_name: str | None = None
    role: str | None = None
    meaning: str | None = None
    public_key: str | None = None
    signature: str | None = None
