"""Sources outside the platform that still hold an erased subject: they are named with the cure, never changed.

What belongs here: looking into what the next delivery would read.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.erasure.files import Remaining
from clinical_assets.governance.privacy.erasure.target import ErasureTarget
from clinical_assets.sources.source_reader import open_source
from clinical_assets.warehouse.store.connections import scratch

_REFUSED = "Until then its records are refused at every delivery."


def sources_with(target: ErasureTarget, *, settings: Settings, folder: Path | None) -> tuple[Remaining, ...]:
    """Tables whose source has records of the subject, and those whose source could not be looked into."""
    found = []
    for name, table in target.spec.tables.items():
        kind = table.source.kind
        with scratch(settings, target.spec.name) as connection:
            try:
                rows = _rows(connection, target, name, settings=settings, folder=folder)
            except (ClinicalAssetsError, duckdb.Error):
                found.append(
                    Remaining(
                        what=f"source of table {name} ({kind}): could not be looked into",
                        cure=f"Look there yourself and remove the subject. {_REFUSED}",
                    )
                )
                continue
        if rows:
            found.append(
                Remaining(
                    what=f"source of table {name} ({kind}): {rows} records of the subject",
                    cure=f"Remove them at the source. {_REFUSED}",
                )
            )
    return tuple(found)


def _rows(
    connection: duckdb.DuckDBPyConnection, target: ErasureTarget, table: str, *, settings: Settings, folder: Path | None
) -> int:
    target.prepare(connection)
    described = target.spec.tables[table]
    with open_source(connection, described, table_name=table, settings=settings, folder=folder) as opened:
        shape = connection.sql(f"SELECT * FROM ({opened.sql}) LIMIT 0")
        condition = target.rows("raw", table, dict(zip(shape.columns, map(str, shape.types), strict=True)))
        row = connection.execute(f"SELECT count(*) FROM ({opened.sql}) WHERE {condition or 'false'}").fetchone()
    return int(row[0]) if row else 0
