"""Where the searches of a cohort's newest training lie: beside the features, in the cohort's own file.

``model.candidate_scores`` and ``model.trials`` hold them; ``model.searches`` says what they depend on and who fitted
them, one row per candidate. They are taken over only where both tables are still what that training wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clinical_assets.modelling.evaluation.kept_search import KeptSearch, Origin
from clinical_assets.warehouse.outcomes.received_tables import has_table
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

SEARCHES = "model.searches"
_SCORES, _TRIALS = "model.candidate_scores", "model.trials"
_COLUMNS = "candidate VARCHAR, search_key VARCHAR, scores VARCHAR, trials VARCHAR, training VARCHAR, run_id VARCHAR"


def read_searches(warehouse: Warehouse) -> KeptSearch | None:
    """The searches of the newest training; None where there are none, or their tables were changed since."""
    with warehouse.reader() as connection:
        if not all(has_table(connection, *name.split(".")) for name in (SEARCHES, _SCORES, _TRIALS)):
            return None
        rows = connection.execute(f"SELECT * FROM {SEARCHES}").fetchall()
        if len({row[1:4] for row in rows}) != 1:
            return None
        _, key, scores, trials, *_ = rows[0]
        if (scores, trials) != _digests(connection):
            return None
        return KeptSearch(
            key=key,
            scores=connection.execute(f"SELECT * FROM {_SCORES}").pl(),
            trials=connection.execute(f"SELECT * FROM {_TRIALS}").pl(),
            origins={candidate: Origin(training, run_id) for candidate, _, _, _, training, run_id in rows},
        )


def write_searches(connection: duckdb.DuckDBPyConnection, key: str, origins: Mapping[str, Origin]) -> None:
    """Say what the scores and trials that stand in the warehouse depend on; the transaction is the caller's."""
    connection.execute(f"CREATE OR REPLACE TABLE {SEARCHES} ({_COLUMNS})")
    digests = _digests(connection)
    connection.executemany(
        f"INSERT INTO {SEARCHES} VALUES (?, ?, ?, ?, ?, ?)",
        [[candidate, key, *digests, *origin] for candidate, origin in origins.items()],
    )


def _digests(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    return table_digest(connection, _SCORES), table_digest(connection, _TRIALS)
