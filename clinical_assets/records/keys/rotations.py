"""Rotations of pseudonym keys and their entries in the audit ledger.

What belongs here: finding versions of keys that were begun or retired without an entry. Keys and ledger are two stores;
a process that was killed between the two leaves a rotation that nobody would ever enter.
"""

from __future__ import annotations

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.subject_keys import SubjectKeys
from clinical_assets.records.ledger.facts.privacy import KeyRotationFacts
from clinical_assets.records.ledger.ledger import Ledger

AFTERWARDS = "entered afterwards: the process ended before it could"


def enter_rotations(settings: Settings, cohort: str, ledger: Ledger, *, actor: str) -> int:
    """Enter versions of a cohort's keys that were begun or retired without an entry; says how many entries it took."""
    keys = SubjectKeys(settings, cohort)
    if not keys.exists():
        return 0
    with keys.open() as connection:
        versions = connection.execute(
            "SELECT version, retired_at IS NOT NULL FROM versions ORDER BY version"
        ).fetchall()
    entries = ledger.entries(action="key_rotation", cohort=cohort)
    known = [facts for entry in entries if (facts := KeyRotationFacts.found(entry.facts)) is not None]
    begun, retired = {each.version for each in known}, {each.retired for each in known}
    # The first version is begun with the first subject, by no command.
    missing = [KeyRotationFacts(version=version, retired=None) for version, _ in versions[1:] if version not in begun]
    missing += [
        KeyRotationFacts(version=None, retired=version)
        for version, is_retired in versions
        if is_retired and version not in retired
    ]
    for facts in missing:
        ledger.append("key_rotation", actor=actor, cohort=cohort, reason=AFTERWARDS, facts=facts)
    return len(missing)
