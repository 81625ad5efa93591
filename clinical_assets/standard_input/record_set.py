"""What every data model is read into: people, and events with a code and a day.

What belongs here: the two tables' shape and what a reader counts. A reader fills ``people`` (one row per person) and
``events`` (one row per coded event), in DuckDB, without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import ClinicalAssetsError

if TYPE_CHECKING:
    import duckdb

PEOPLE = {
    "subject_id": "VARCHAR",
    "birth_date": "DATE",
    "sex": "VARCHAR",
    "death_date": "DATE",
    "observed_until": "DATE",
}
EVENTS = {"subject_id": "VARCHAR", "event_date": "DATE", "code": "VARCHAR", "value": "DOUBLE", "unit": "VARCHAR"}
#: Words for a code, where the data model holds them.
CODE_NAMES = {"code": "VARCHAR", "name": "VARCHAR"}


class StandardInputError(ClinicalAssetsError):
    """A folder that is not of the data model, or records from which no cohort can be made."""


@dataclass(frozen=True)
class RecordSet:
    """People and events of one folder.

    Attributes
    ----------
    connection : duckdb.DuckDBPyConnection
        Holds ``people`` (`PEOPLE`), ``events`` (`EVENTS`) and ``code_names`` (`CODE_NAMES`).
    data_model : str
        ``OMOP 5.4``, ``MEDS`` or ``FHIR R4``.
    left_out : mapping
        What was not taken over, in words, to the number of rows.
    """

    connection: duckdb.DuckDBPyConnection
    data_model: str
    left_out: Mapping[str, int] = field(default_factory=dict)

    def number(self, sql: str) -> int:
        """The single number that a statement yields."""
        row = self.connection.execute(sql).fetchone()
        return int(row[0]) if row and row[0] is not None else 0


def empty_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the three tables, empty."""
    for name, columns in (("people", PEOPLE), ("events", EVENTS), ("code_names", CODE_NAMES)):
        listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        connection.execute(f"CREATE TABLE {name} ({listed})")


def finish(connection: duckdb.DuckDBPyConnection, data_model: str, left_out: Mapping[str, int]) -> RecordSet:
    """Drop events of nobody, one name per code, follow-up to the last event where nothing says when it ended.

    Raises
    ------
    StandardInputError
        There is nobody, or nothing happened.
    """
    connection.execute("DELETE FROM events WHERE subject_id NOT IN (SELECT subject_id FROM people)")
    connection.execute(
        "CREATE OR REPLACE TABLE code_names AS "
        "SELECT code, min(name) AS name FROM code_names WHERE name IS NOT NULL GROUP BY code"
    )
    connection.execute(
        "UPDATE people SET observed_until = coalesce(people.observed_until, last.day, people.death_date) FROM "
        "(SELECT p.subject_id, max(e.event_date) AS day FROM people AS p LEFT JOIN events AS e USING (subject_id) "
        "GROUP BY p.subject_id) AS last WHERE last.subject_id = people.subject_id"
    )
    made = RecordSet(connection, data_model, {words: count for words, count in left_out.items() if count})
    doubled = made.number("SELECT count(*) - count(DISTINCT subject_id) FROM people")
    if doubled:
        raise StandardInputError(
            f"{doubled} people stand more than once in the folder.", cure="Export each person once."
        )
    if not made.number("SELECT count(*) FROM people") or not made.number("SELECT count(*) FROM events"):
        raise StandardInputError(
            f"The folder holds no {data_model} record of a person with a coded event.",
            cure="Name the folder that holds the export's files.",
        )
    return made
