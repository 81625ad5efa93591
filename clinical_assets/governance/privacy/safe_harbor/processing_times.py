"""The platform's own time stamps in tables about people: when something was processed, not when somebody was cared for.

What belongs here: which columns these are, and telling such a stamp from a date that somebody put there. A batch may be
scored on the day of care, so the report of `deidentify` still lists them: they stay in the platform and are not to be
given away with the rows. The index date of a record is no such stamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from clinical_assets.governance.privacy.safe_harbor.scan import IdentifierFinding
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb


STAMPS: Mapping[str, tuple[str, ...]] = {
    "monitoring.scored_records": ("scored_at",),
    "monitoring.outcomes": ("known_at",),
}
"""Columns that the platform itself fills with the time of processing."""
RULE = "processing time"
_CURE = "Leave it out of whatever leaves the platform: it may be the day of care."
# As `datetime.isoformat(timespec="microseconds")` writes UTC. Dates of care are never of this form.
_STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00"


def is_processing_time(connection: duckdb.DuckDBPyConnection, finding: IdentifierFinding) -> bool:
    """Whether a finding is about a column of the platform's own stamps that holds nothing but such stamps."""
    if finding.identifier_class != "dates and ages" or finding.column not in STAMPS.get(finding.relation, ()):
        return False
    relation = ".".join(map(quoted, finding.relation.split(".", 1)))
    text = f"CAST({quoted(finding.column)} AS VARCHAR)"
    query = f"SELECT count(*) FROM {relation} WHERE NOT regexp_full_match({text}, {literal(_STAMP)})"
    row = connection.execute(query).fetchone()
    return row is not None and row[0] == 0


def as_processing_time(finding: IdentifierFinding) -> IdentifierFinding:
    """The same finding under the name of what it is."""
    return replace(finding, rule=RULE, cure=_CURE)
