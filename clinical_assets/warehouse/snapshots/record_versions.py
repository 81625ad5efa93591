"""The name of validated records: what they were made from, or what they hold.

What belongs here: the two digests that serve as the data version of validated tables.

Why two: hashing every validated row takes as long as reading the file did, and says nothing that the origin does not
say already: the same raw content, held to the same description by the same code, gives the same records. The content
is counted where the origin cannot be trusted to name it.
"""

from __future__ import annotations

import importlib.metadata

import duckdb

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.store.sql_text import quoted

_FORMAT = "clinical_assets validated records by origin, version 1"
# Who reads and checks the values, besides this package.
_READERS = ("polars", "pandera", "duckdb")


def origin_digest(spec: CohortSpec, connection: duckdb.DuckDBPyConnection, *, code: str) -> str | None:
    """Digest of what validated tables are made from: raw content, description, and the code that validates.

    It is the same on every machine that holds the same code. A change that leaves the records alone, such as a reworded
    description, changes it too; the digest of the features, which is one of content, does not follow.

    Parameters
    ----------
    spec : CohortSpec
        The description; of a table's source only the decimal sign counts.
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse.
    code : str
        Digest of the code that validates.

    Returns
    -------
    str or None
        None where the origin does not determine the records: the raw tables are not those that were last noted, or a
        column has years of two digits that are read by today's date.
    """
    columns = [column for table in spec.tables.values() for column in table.columns.values()]
    if any(each.two_digit_years and (each.earliest is None or each.latest is None) for each in columns):
        return None
    raw = ingestion_log.content_digests(connection, list(spec.tables))
    if raw is None:
        return None
    tables = {}
    for name, table in spec.tables.items():
        csv = getattr(table.source, "csv", None)
        tables[name] = table.model_dump(mode="json", exclude={"source"}) | {
            "decimal": "." if csv is None else csv.decimal,
            "subject_of": spec.subject_of(name),
        }
    return value_digest(
        {"format": _FORMAT, "raw": raw, "tables": tables, "zone": spec.timezone, "code": code, "with": _readers()}
    )


def content_digest(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> str:
    """Digest of what validated tables hold, whatever they were made from and in whatever order of rows."""
    return value_digest({name: table_digest(connection, f"validated.{quoted(name)}") for name in spec.tables})


def _readers() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _READERS}
