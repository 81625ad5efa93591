"""The prediction log in the warehouse: what the API answered and what came of it, for the same reports as batches.

What belongs here: bringing new lines in, and the relations that reports read beside those of batches. What does not:
the log itself (``records.prediction_log``).

People stand here under the names that the log gives them. ``in_training`` says whether the unit was among the rows that
the model, or one it was recalibrated from, was made from or judged with: such rows judge nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import GROUP_PREFIX
from clinical_assets.records.keys.subject_names import SubjectNames
from clinical_assets.records.prediction_log.lines import ACTION, OUTCOME, PREDICTION, LogLine
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.warehouse.outcomes.received_tables import BATCH, append, columns_of, has_table
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb
    import polars as pl

SCHEMA = "monitoring"
API_SCORES, API_FEATURES = f"{SCHEMA}.api_scores", f"{SCHEMA}.api_features"
API_OUTCOMES, API_ACTIONS, API_READ = f"{SCHEMA}.api_outcomes", f"{SCHEMA}.api_actions", f"{SCHEMA}.api_read"
_LINES_AT_ONCE = 50_000

References = Callable[["duckdb.DuckDBPyConnection", str], Sequence[str]]


@dataclass(frozen=True)
class BroughtIn:
    """What was new in the log.

    Attributes
    ----------
    predictions, outcomes, actions : int
        Lines by kind; erased ones are left out.
    read_to : int
        Number of the last line that was read.
    """

    predictions: int
    outcomes: int
    actions: int
    read_to: int


def bring_in(warehouse: Warehouse, spec: CohortSpec, *, references: References) -> BroughtIn:
    """Bring the lines that are new into the warehouse, in one transaction per 50,000; the same line never twice.

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's records; its settings say where the log lies.
    spec : CohortSpec
        The cohort's description.
    references : callable
        Tables of the rows that a model, and those it was recalibrated from, were made from and judged with.

    Raises
    ------
    LogDamaged
        The log is not what was written; nothing of the piece that holds the line is brought in.
    """
    settings = warehouse.settings
    names = SubjectNames(settings, spec.name)
    total = [0, 0, 0]
    while True:
        with warehouse.writer() as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {API_READ} (read_to BIGINT)")
            row = connection.execute(f"SELECT max(read_to) FROM {API_READ}").fetchone()
            done = int(row[0]) if row and row[0] is not None else 0
            lines = []
            for line in read_log(settings, spec.name, after=done):
                lines.append(line)
                if len(lines) >= _LINES_AT_ONCE:
                    break
            if not lines:
                return BroughtIn(total[0], total[1], total[2], read_to=done)
            for place, number in enumerate(_write(connection, spec, lines, names, references)):
                total[place] += number
            connection.execute(f"DELETE FROM {API_READ}")
            connection.execute(f"INSERT INTO {API_READ} VALUES ({lines[-1].seq})")


def _write(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    lines: Sequence[LogLine],
    names: SubjectNames,
    references: References,
) -> tuple[int, int, int]:
    import polars as pl

    told = [(line, line.content) for line in lines if line.content is not None]
    predictions = [(line, content) for line, content in told if line.kind == PREDICTION]
    for digest in dict.fromkeys(line.digest for line, _ in predictions):
        mine = [(line, content) for line, content in predictions if line.digest == digest]
        seen = _seen(connection, spec, references(connection, str(digest)), names)
        append(connection, API_SCORES, pl.DataFrame([_score(*each, seen=seen) for each in mine]).to_arrow())
        append(connection, API_FEATURES, _features(spec, mine).to_arrow())
    outcomes = [_fact(line, content, ("outcome", "known_at")) for line, content in told if line.kind == OUTCOME]
    actions = [_fact(line, content, ("shown", "acted")) for line, content in told if line.kind == ACTION]
    if outcomes:
        append(connection, API_OUTCOMES, pl.DataFrame(outcomes).to_arrow())
    if actions:
        kinds = {"shown": pl.Boolean, "acted": pl.Boolean}
        append(connection, API_ACTIONS, pl.DataFrame(actions, schema_overrides=kinds).to_arrow())
    return len(predictions), len(outcomes), len(actions)


def _score(line: LogLine, content: Mapping[str, Any], *, seen: Callable[[str], bool]) -> dict[str, Any]:
    return {
        "seq": line.seq,
        BATCH: f"api:{line.at[:10]}",
        "log_unit": content["unit"],
        "log_subject": content["subject"],
        "bundle_digest": line.digest,
        "risk": float(content["risk"]),
        "is_alert": bool(content["is_alert"]),
        "tier": content["tier"],
        "scored_at": line.at,
        "in_training": seen(content["unit"]),
    }


def _features(spec: CohortSpec, rows: Sequence[tuple[LogLine, Mapping[str, Any]]]) -> pl.DataFrame:
    import polars as pl

    names = list(rows[0][1]["features"])
    values = {name: pl.Series([content["features"][name] for _, content in rows], dtype=pl.Float64) for name in names}
    groups = {
        f"{GROUP_PREFIX}{name}": pl.Series([content["groups"].get(name) for _, content in rows], dtype=pl.String)
        for name in spec.protected
    }
    return pl.DataFrame(
        {
            "log_seq": pl.Series([line.seq for line, _ in rows], dtype=pl.Int64),
            "log_subject": pl.Series([content["subject"] for _, content in rows], dtype=pl.String),
            **values,
            **groups,
        }
    )


def _fact(line: LogLine, content: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    about = {"seq": line.seq, "prediction": int(content["prediction"]), "log_subject": content["subject"]}
    return about | {name: content[name] for name in kept}


def _seen(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, relations: Sequence[str], names: SubjectNames
) -> Callable[[str], bool]:
    """Whether a unit, as the log names it, is among the rows of some tables."""
    columns = ", ".join(quoted(name) for name in spec.key)
    known = {
        names.unit(tuple(row))
        for relation in relations
        for row in connection.execute(f"SELECT {columns} FROM {relation}").fetchall()
    }
    return known.__contains__


def api_batches(connection: duckdb.DuckDBPyConnection, *, bundle_digest: str) -> list[tuple[str, str, int]]:
    """Days on which the API answered by a model, as batches: name, time of the last answer, records."""
    if not has_table(connection, *API_SCORES.split(".")):
        return []
    found = connection.execute(
        f"SELECT {BATCH}, max(scored_at), count(*) FILTER (is_newest) FROM (SELECT {BATCH}, scored_at, "
        "row_number() OVER (PARTITION BY log_unit ORDER BY seq DESC) = 1 AS is_newest "
        f"FROM {API_SCORES} WHERE bundle_digest = {literal(bundle_digest)}) GROUP BY ALL"
    ).fetchall()
    return [(str(batch), str(at), int(rows)) for batch, at, rows in found]


def api_window(
    connection: duckdb.DuckDBPyConnection, *, batches: Sequence[str], bundle_digest: str, features: Sequence[str]
) -> str | None:
    """A SELECT of features and risk of the units that the API answered on some days, of each the newest, or None."""
    if not has_table(connection, *API_SCORES.split(".")):
        return None
    columns = ", ".join(f"f.{quoted(name)}" for name in features)
    return (
        f"SELECT {columns}, s.risk FROM {API_SCORES} AS s JOIN {API_FEATURES} AS f ON f.log_seq = s.seq "
        f"WHERE s.{BATCH} IN {literal(tuple(batches))} AND s.bundle_digest = {literal(bundle_digest)} "
        "QUALIFY row_number() OVER (PARTITION BY s.log_unit ORDER BY s.seq DESC) = 1"
    )


def api_matured(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, bundle_digest: str, days: int
) -> pl.DataFrame | None:
    """Records that the API answered by a model and whose outcome came: of each unit the last answer before the outcome.

    The columns are those of ``windows.matured_records``. A key or subject of text holds the log's name; one of whole
    numbers holds a negative number made from it, which no record has.
    """
    if not all(has_table(connection, *name.split(".")) for name in (API_SCORES, API_FEATURES, API_OUTCOMES)):
        return None
    subject = spec.subject_of(spec.subject_table)
    named = dict.fromkeys(spec.key, "s.log_unit") | {subject: "s.log_subject"}
    people = ", ".join(f"{_as(spec, name, source)} AS {quoted(name)}" for name, source in named.items())
    if has_table(connection, *API_ACTIONS.split(".")):
        acted = f"(SELECT prediction, bool_or(shown) AS shown, bool_or(acted) AS acted FROM {API_ACTIONS} GROUP BY ALL)"
    else:
        acted = "(SELECT NULL::BIGINT AS prediction, NULL::BOOLEAN AS shown, NULL::BOOLEAN AS acted)"
    features = ", ".join(
        f"f.{quoted(name)}" for name in columns_of(connection, API_FEATURES) if name not in ("log_seq", "log_subject")
    )
    return connection.execute(
        f"SELECT {people}, s.risk, s.is_alert, s.tier, NULL::DATE AS index_date, s.{BATCH}, s.scored_at, "
        f"o.outcome, o.known_at, a.shown, a.acted, {features} "
        f"FROM {API_SCORES} AS s JOIN {API_FEATURES} AS f ON f.log_seq = s.seq "
        f"JOIN {API_OUTCOMES} AS o ON o.prediction = s.seq LEFT JOIN {acted} AS a ON a.prediction = s.seq "
        f"WHERE s.bundle_digest = {literal(bundle_digest)} AND NOT s.in_training "
        "AND s.scored_at[:10] <= o.known_at "
        f"AND CAST(s.scored_at AS TIMESTAMPTZ) >= now() - INTERVAL {int(days)} DAY "
        f"QUALIFY row_number() OVER (PARTITION BY s.log_unit ORDER BY s.seq DESC) = 1 ORDER BY s.seq"
    ).pl()


def _as(spec: CohortSpec, column: str, source: str) -> str:
    kind = spec.subjects.columns[column].type
    if kind == "string":
        return source
    # 62 bits of a hash: no two of a million people meet but by a chance of 1e-7.
    return f"-CAST(hash({source}) >> 2 AS BIGINT)" if kind == "integer" else "NULL"
