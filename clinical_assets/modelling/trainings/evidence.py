"""Digests of what a model is judged by, taken when it is trained: they go into the training's ledger entry.

What belongs here: naming the report's numbers and the kept rows by content, so that whoever judges them later can see
that they are still those of the training. What does not: the ledger (``records``) and the verdict (``governance``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.modelling.trainings.reference import reference_missing, relation_of
from clinical_assets.modelling.trainings.trainings import RESULTS, Training
from clinical_assets.warehouse.outcomes.received_tables import FEATURES, SCORED, has_table
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

EVIDENCE = "evidence"
"""Name of the digests among the facts of a ``training`` entry."""
_MONITORING = {"scored_records": SCORED, "batch_features": FEATURES}


def evidence_digests(warehouse: Warehouse, training: Training, *, monitoring: bool = False) -> dict[str, str]:
    """Digests of a training's evidence as it stands now.

    Parameters
    ----------
    warehouse : Warehouse
        Holds the reference rows.
    training : Training
        The training with its report.
    monitoring : bool
        True adds the monitoring tables, for a model that was made from them.

    Returns
    -------
    dict
        ``results``, ``reference``, ``features`` and, where asked for, the monitoring tables; ``sha256:...`` each.

    Raises
    ------
    ReferenceMissing
        The model's rows are not kept here.
    """
    with warehouse.reader() as connection:
        digests = kept_digests(connection, training)
        if monitoring:
            digests |= {
                name: table_digest(connection, relation)
                for name, relation in _MONITORING.items()
                if has_table(connection, *relation.split("."))
            }
    return {**digests, "features": training.results.provenance.data_digest}


def kept_digests(connection: duckdb.DuckDBPyConnection, training: Training) -> dict[str, str]:
    """``results`` and ``reference`` alone: what stays as it was for the life of a model.

    Raises
    ------
    ReferenceMissing
        The model's rows are not kept here.
    """
    import duckdb as db

    from_bundle = training.results.bundle_digest
    try:
        reference = table_digest(connection, relation_of(from_bundle))
    except db.CatalogException:
        raise reference_missing(from_bundle) from None
    return {"results": file_sha256(training.report / RESULTS), "reference": reference}
