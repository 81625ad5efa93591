"""Deliveries that never reached a table: counted, so that silence about them is not mistaken for health.

What belongs here: bringing the reports that lie beside refused files into the warehouse, once each, with a note for the
audit ledger; and which of them nobody has made good for. What does not: refusing (``inbox_intake``), judging
(``monitoring``).

A file is moved first and counted afterwards, so that a process killed in between loses nothing: the next intake finds a
report that is not counted yet.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.intake import RefusalFacts
from clinical_assets.sources import inbox
from clinical_assets.warehouse.outcomes.received_tables import BATCHES, RAW, VALUES, has_table, prepare
from clinical_assets.warehouse.store.sql_text import literal
from clinical_assets.warehouse.store.unentered import note
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

REFUSED = f"{RAW}.refused_deliveries"


def count_refusals(spec: CohortSpec, *, settings: Settings, since: str) -> int:
    """Bring refusals that are not counted yet into ``received.refused_deliveries``; says how many.

    Columns: ``report`` (its name below ``refused/``), ``changed_ns``, ``refused_at``, ``open_since`` (UTC), ``kind``.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    since : str
        When this intake began, UTC. What the same intake took in makes up for none of its refusals; what lay there
        before it is open since it was refused.
    """
    folder = settings.inbox / spec.name / inbox.REFUSED
    found = {
        (str(path.relative_to(folder)), path.stat().st_mtime_ns): path
        for place in (folder, folder / inbox.OUTCOMES)
        for path in place.glob("*.report.json")
    }
    if not found:
        return 0
    warehouse = Warehouse(spec.name, settings)
    with warehouse.writer() as connection:
        prepare(connection)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {REFUSED} (report VARCHAR, changed_ns BIGINT, refused_at VARCHAR, "
            "open_since VARCHAR, kind VARCHAR)"
        )
        known = set(connection.execute(f"SELECT report, changed_ns FROM {REFUSED}").fetchall())
        rows, now = [], utc_now()
        for (name, changed), path in sorted(found.items()):
            if (name, changed) in known:
                continue
            told = json.loads(path.read_text(encoding="utf-8"))
            at = str(told["refused_at"])
            kind = told.get("kind") or ("outcomes" if name.startswith(f"{inbox.OUTCOMES}/") else "records")
            rows.append((name, changed, at, now if at >= since else at, str(kind)))
        if rows:
            connection.execute(f"INSERT INTO {REFUSED} VALUES {', '.join(map(literal, rows))}")
            kinds = [row[4] for row in rows]
            facts = RefusalFacts.model_validate({kind: kinds.count(kind) for kind in sorted(set(kinds))})
            # Names of files stay in the inbox: the ledger keeps for ever.
            note(connection, "refusal", digest=value_digest([list(row[:3]) for row in rows]), facts=facts)
    return len(rows)


def open_refusals(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Refused deliveries by kind since the last one of that kind that was taken in; empty where there is none.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse.
    """
    if not has_table(connection, *REFUSED.split(".")):
        return {}
    outcomes = f"(SELECT max(received_at) FROM {VALUES})" if has_table(connection, *VALUES.split(".")) else "NULL"
    found = connection.execute(
        f"SELECT kind, count(*) FROM {REFUSED} WHERE open_since > coalesce(CASE kind WHEN 'outcomes' THEN {outcomes} "
        f"ELSE (SELECT max(received_at) FROM {BATCHES}) END, '') GROUP BY kind ORDER BY kind"
    ).fetchall()
    return {str(kind): int(count) for kind, count in found}
