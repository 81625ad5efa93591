"""Who made a model, after the audit ledger.

What belongs here: accounts that started trainings, and accounts that were ever a person's. What does not: who people
are now (``people``).
"""

from __future__ import annotations

from collections.abc import Iterable

from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.models import TrainingFacts
from clinical_assets.records.ledger.facts.people import PersonFacts
from clinical_assets.records.ledger.ledger import Ledger


def authors(records: RecordsDatabase, bundle_digest: str) -> tuple[str, ...]:
    """Accounts that started the trainings of a bundle, and of any that it was recalibrated from, after the ledger."""
    found: set[str] = set()
    seen: set[str] = set()
    ask = [bundle_digest]
    while ask:
        digest = ask.pop()
        seen.add(digest)
        for entry in Ledger(records).entries(action="training", digest=digest):
            found.add(entry.actor)
            facts = TrainingFacts.found(entry.facts)
            if facts is not None and facts.base is not None and facts.base not in seen:
                ask.append(facts.base)
    return tuple(sorted(found))


def accounts_ever(records: RecordsDatabase, login: str) -> frozenset[str]:
    """Login and every account that the ledger ever tied to a person: taking one away does not end an authorship."""
    found = {login}
    for entry in Ledger(records).entries(action="person"):
        facts = PersonFacts.found(entry.facts)
        if facts is not None and facts.login == login:
            found.update(facts.accounts)
    return frozenset(found)


def is_author(records: RecordsDatabase, login: str, accounts: Iterable[str]) -> bool:
    """Whether one of these accounts is, or ever was, this person's."""
    return not accounts_ever(records, login).isdisjoint(accounts)
