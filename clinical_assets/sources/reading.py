"""What every reader hands to ``source_reader``: statements, fingerprints, and the count that proves completeness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clinical_assets.sources.files import Fingerprint


@dataclass(frozen=True)
class Reading:
    """A source that is ready to be read.

    Attributes
    ----------
    sql : str
        ``_row`` and every column, in the source's order.
    description : str
        For people.
    fingerprints : sequence of Fingerprint
        The files, to be verified after reading.
    unnumbered_sql : str or None
        The same with NULL as ``_row``: numbering in SQL keeps DuckDB to one thread, and a table's own row ids give
        the same numbers for nothing.
    rejects_sql : str or None
        ``line``, ``reason``, ``text`` of what could not be parsed.
    rejected_records_sql : str or None
        ``record``: the number that each rejected record has in the source.
    records : int or None
        Records in the source, counted without the parser; None where the format itself counts.
    suspect : str or None
        Where malformed quotes begin, for the message about lost records.
    temporary : sequence of str
        SQL statements that remove what reading left on the connection.
    """

    sql: str
    description: str
    fingerprints: Sequence[Fingerprint] = ()
    unnumbered_sql: str | None = None
    rejects_sql: str | None = None
    rejected_records_sql: str | None = None
    records: int | None = None
    suspect: str | None = None
    temporary: Sequence[str] = field(default=())
