"""Control samples as a laboratory has them: people of the holdout whose risk is known, scored each day by what serves.

What belongs here: choosing them, and scoring them by the model, as one request and as a batch. What does not: who looks
at a deviation (``governance.verification``, whose findings are alerts).

The known answers are the risks that were kept with the training, whose digest its ledger entry has. They hold for the
model; records of the same people may have been corrected since, so that request and batch are compared with one
another. A library that was replaced, a machine that computes otherwise or a plan of DuckDB that went wrong shows here
before an answer does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import duckdb
import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError, WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.promotion.promotion import serving
from clinical_assets.modelling.bundle.batch_scoring import with_scores
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.record_scoring import RecordScorer
from clinical_assets.modelling.bundle.scorer import TOLERANCE
from clinical_assets.modelling.trainings.reference import ReferenceMissing, read_reference
from clinical_assets.warehouse.sql.schema import table_types
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.workspace import CohortHandle, Workspace

#: People whose records are scored; evenly over the risks of the holdout.
SAMPLES = 50
_log = logging.getLogger(__name__)


def control_deviations(settings: Settings) -> Iterator[str | None]:
    """None for each champion that gives every known answer again, and words for each that does not.

    A champion whose records are held by a run, encrypted without a key at hand, or elsewhere, is logged and left out.
    """
    workspace = Workspace(settings)
    for cohort in workspace.catalogue.names():
        try:
            found = serving(settings, cohort)
        except ClinicalAssetsError:
            continue  # a finding of its own: the pointer or the bundle was changed
        if found is None:
            continue
        handle = workspace.cohort(cohort)
        try:
            with handle.warehouse.reader() as connection:
                read_reference(connection, found[1].digest, part="holdout")
        except (WarehouseError, ReferenceMissing) as error:
            _log.warning("Control samples of %s were not scored: %s", cohort, error.message)
            continue
        try:
            deviation = deviation_of(handle, found[1])
        except ClinicalAssetsError as error:
            deviation = error.message  # what should give an answer gives none
        except duckdb.Error as error:  # its words may quote a value
            deviation = f"its records and its statement no longer fit together ({type(error).__name__})."
        yield None if deviation is None else f"{cohort}: {deviation}"


def deviation_of(cohort: CohortHandle, bundle: Bundle) -> str | None:
    """What a bundle's control samples show; None where all is as it should be.

    Parameters
    ----------
    cohort : CohortHandle
        Whose records are scored.
    bundle : Bundle
        Verified file by file.

    Raises
    ------
    ReferenceMissing
        The bundle's rows are not in this warehouse.
    WarehouseError
        It cannot be opened now.
    """
    import polars as pl

    spec = cohort.spec
    subject = spec.subject_of(spec.subject_table)
    with cohort.warehouse.reader() as connection:
        held = read_reference(connection, bundle.digest, part="holdout").sort("risk", *spec.key)
        places = np.unique(np.linspace(0, max(held.height - 1, 0), min(SAMPLES, held.height)).round().astype(int))
        samples = held[places.tolist()]
        apart = float(np.abs(bundle.action_risk(samples) - samples["risk"].to_numpy()).max(initial=0.0))
        people = ", ".join(literal(value) for value in samples[subject].unique().to_list()) or "NULL"
        records = {}
        for name in spec.tables:
            columns, mine = ", ".join(map(quoted, table_types(spec, name))), quoted(spec.subject_of(name))
            records[name] = connection.execute(
                f"SELECT {columns} FROM validated.{quoted(name)} WHERE {mine} IN ({people})"
            ).pl()
        rows = f"SELECT * FROM (\n{bundle.statement}\n) WHERE {quoted(subject)} IN ({people})"
        batch = with_scores(bundle, connection.execute(rows).pl())
    with RecordScorer(spec, bundle) as scorer:
        request = scorer.score(records).frame
    said = []
    if apart > TOLERANCE:
        said.append(f"risks of {samples.height} control samples differ from the known ones by up to {apart:.2g}")
    key = list(spec.key)
    both = batch.select(*key, "risk", "is_alert", "tier").join(request, on=key, suffix="_asked", nulls_equal=True)
    if not batch.height == request.height == both.height:
        said.append(f"a batch yields {batch.height} units of these people, a request {request.height}")
    other = both.filter(
        ((pl.col("risk") - pl.col("risk_asked")).abs() > TOLERANCE)
        | pl.col("is_alert").ne_missing(pl.col("is_alert_asked"))
        | pl.col("tier").ne_missing(pl.col("tier_asked"))
    )
    if other.height:
        said.append(f"{other.height} of {both.height} units are scored otherwise in a batch than in a request")
    if not said:
        return None
    return (
        f"{'; '.join(said)}. Find out what was replaced on this machine, and take the model out of service until then."
    )
