"""Do the stored records still keep what the description promises? Counted in the tables themselves.

What belongs here: criteria of the data quality gate about ``raw``, ``validated`` and ``quarantine``. What does not:
single values (``value_checks``), features and
labels (``feature_checks``, ``label_noise``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Table
from clinical_assets.governance.gates.data_quality.value_checks import plausible_values, ranges
from clinical_assets.governance.verdicts.count_verdicts import GATE, SHOWN, counted, one, share, validated
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.warehouse.sql.schema import ROW_NUMBER, table_types
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation import findings as kinds

if TYPE_CHECKING:
    import duckdb


def record_verdicts(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> list[Verdict]:
    """Every criterion about records, in a fixed order.

    A table that is not there or lacks a column fails ``schema``; nothing else is said about it.
    """
    lacking = {name: _lacking(connection, spec, name) for name in spec.tables}
    sound = {name: spec.tables[name] for name, wrong in lacking.items() if not wrong}
    limits = spec.decisions.limits
    verdicts = [_schema(spec, lacking)]
    if not sound:
        return verdicts
    verdicts += [_keys(connection, sound), _references(connection, sound), ranges(connection, sound)]
    verdicts += [_lost(connection, sound)]
    for name, table in sound.items():
        verdicts += _refused(connection, name, table, limits)
    return [*verdicts, *plausible_values(connection, sound, limits)]


def _lacking(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, name: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() "
        f"AND schema_name = 'validated' AND table_name = {literal(name)}"
    ).fetchall()
    found = dict(rows)
    if not found:
        return [f"{name}: there is no validated table"]
    return [
        f"{name}.{column}: {found.get(column, 'missing')}, described as {kind}"
        for column, kind in table_types(spec, name).items()
        if found.get(column) != kind
    ]


def _schema(spec: CohortSpec, lacking: dict[str, list[str]]) -> Verdict:
    wrong = [text for texts in lacking.values() for text in texts]
    described = sum(len(table.columns) for table in spec.tables.values())
    return counted(
        "schema",
        len(wrong),
        described,
        what="described columns are missing from the validated tables or have another type",
        cure=f"Validate the records again: {'; '.join(wrong[:5])}.",
        evidence={"wrong": wrong[:SHOWN], "tables": sorted(spec.tables)},
    )


def _keys(connection: duckdb.DuckDBPyConnection, tables: dict[str, Table]) -> Verdict:
    broken: dict[str, int] = {}
    n = 0
    for name, table in tables.items():
        n += one(connection, f"SELECT count(*) FROM {validated(name)}")
        unique = [table.key, *((column,) for column, described in table.columns.items() if described.unique)]
        for columns in dict.fromkeys(unique):
            listed = ", ".join(map(quoted, columns))
            filled = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
            repeated = one(
                connection,
                f"SELECT coalesce(sum(copies), 0) FROM (SELECT count(*) AS copies FROM {validated(name)} "
                f"WHERE {filled} GROUP BY {listed} HAVING count(*) > 1)",
            )
            empty = one(connection, f"SELECT count(*) FROM {validated(name)} WHERE NOT ({filled})")
            wrong = repeated + (empty if columns == table.key else 0)
            if wrong:
                broken[f"{name}({', '.join(columns)})"] = wrong
    return counted(
        "keys_unique",
        sum(broken.values()),
        n,
        what="validated records share or lack a key that must name one record",
        cure=f"Validate the records again; broken: {', '.join(broken)}.",
        evidence={"records by key": broken},
    )


def _references(connection: duckdb.DuckDBPyConnection, tables: dict[str, Table]) -> Verdict:
    orphans: dict[str, int] = {}
    n = checked = 0
    for name, table in tables.items():
        for reference in table.references:
            if reference.table not in tables:
                continue
            checked += 1
            n += one(connection, f"SELECT count(*) FROM {validated(name)}")
            pairs = list(zip(reference.columns, reference.to or reference.columns, strict=True))
            same = " AND ".join(f"p.{quoted(theirs)} = c.{quoted(own)}" for own, theirs in pairs)
            refers = " AND ".join(f"c.{quoted(own)} IS NOT NULL" for own, _ in pairs)
            lost = one(
                connection,
                f"SELECT count(*) FROM {validated(name)} AS c WHERE {refers} "
                f"AND NOT EXISTS (SELECT 1 FROM {validated(reference.table)} AS p WHERE {same})",
            )
            if lost:
                orphans[f"{name} -> {reference.table}"] = lost
    if not checked:
        reason = "No reference between tables is described."
        return Verdict(GATE, "references", "pass", reason, limit="= 0", n=0)
    return counted(
        "references",
        sum(orphans.values()),
        n,
        what="validated records refer to a record that is not there",
        cure=f"Validate all tables together again; broken: {', '.join(orphans)}.",
        evidence={"orphans": orphans, "references": checked},
    )


def _lost(connection: duckdb.DuckDBPyConnection, tables: dict[str, Table]) -> Verdict:
    wrong: dict[str, dict[str, int]] = {}
    n = lost = 0
    for name in tables:
        raw, sound, refused, both = connection.execute(
            f"SELECT (SELECT count(*) FROM raw.{quoted(name)}), (SELECT count(*) FROM {validated(name)}), "
            f"(SELECT count({ROW_NUMBER}) FROM quarantine.records WHERE table_name = {literal(name)}), "
            f"(SELECT count(*) FROM {validated(name)} AS v JOIN quarantine.records AS q "
            f"ON q.table_name = {literal(name)} AND q.{ROW_NUMBER} = v.{ROW_NUMBER})"
        ).fetchone() or (0, 0, 0, 0)
        n += raw
        if raw != sound + refused or both:
            wrong[name] = {"raw": raw, "validated": sound, "refused": refused, "both": both}
            lost += abs(raw - sound - refused) + both
    return counted(
        "no_record_lost",
        lost,
        n,
        what="raw records are neither validated nor in quarantine, or are both",
        cure=f"Validate the records again; tables: {', '.join(wrong)}.",
        evidence={"tables": wrong},
    )


def _refused(connection: duckdb.DuckDBPyConnection, name: str, table: Table, limits: GateLimits) -> list[Verdict]:
    mine = f"table_name = {literal(name)}"
    raw, refused, copies = connection.execute(
        f"SELECT (SELECT count(*) FROM raw.{quoted(name)}), "
        f"(SELECT count(*) FROM quarantine.records WHERE {mine}), "
        f"(SELECT count(DISTINCT {ROW_NUMBER}) FROM quarantine.findings WHERE {mine} "
        f"AND rule IN {literal([kinds.DUPLICATE_ROW, kinds.DUPLICATE_KEY])})"
    ).fetchone() or (0, 0, 0)
    unreadable = one(connection, f"SELECT count(*) FROM quarantine.records WHERE {mine} AND {ROW_NUMBER} IS NULL")
    rules = connection.execute(
        f"SELECT rule, count(*) FROM quarantine.findings WHERE {mine} GROUP BY rule ORDER BY rule"
    ).fetchall()
    # The table's own limit stops ingestion, the gate's stops a release: the stricter one counts.
    most = min(table.refused_limit, limits.refused_share)
    return [
        share(
            f"refused_share[{name}]",
            refused,
            raw + unreadable,
            most=most,
            what=f"records of {name} are in quarantine",
            cure="Correct the source; quarantine.findings has the cure of each.",
            evidence={"findings by rule": dict(rules), "unreadable lines": unreadable},
        ),
        share(
            f"duplicates[{name}]",
            copies,
            raw + unreadable,
            most=most,
            what=f"records of {name} are copies of others or contradict another of the same key",
            cure="Find out at the source why records come twice.",
            evidence={"repeated under another key": _repeated(connection, name, table)},
        ),
    ]


def _repeated(connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> int:
    """Validated records that equal another in all but identifiers.

    One person entered twice, or chance where columns are few and coarse: counted for the reader; nothing tells the two
    apart.
    """
    left_out = {*table.key, *table.with_role("identifier")}
    columns = [quoted(column) for column in table.columns if column not in left_out]
    if not columns:
        return 0
    listed = ", ".join(columns)
    return one(
        connection,
        f"SELECT coalesce(sum(copies - 1), 0) FROM (SELECT count(*) AS copies FROM {validated(name)} "
        f"GROUP BY {listed} HAVING count(*) > 1)",
    )
