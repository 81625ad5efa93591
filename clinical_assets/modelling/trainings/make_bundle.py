"""From a cohort's tables to a sealed bundle with its report: the one way that a training takes.

What belongs here: the order of the steps after features stand in the warehouse. A training and its later reproduction
go through ``make_bundle`` alike, so that equal inputs give equal digests.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import readable_json, value_digest
from clinical_assets.foundation.code_digest import code_digest
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import (
    BundleFacts,
    StoredReference,
    StoredTier,
    TrainingProvenance,
)
from clinical_assets.modelling.bundle.rehearsal import rehearse_export
from clinical_assets.modelling.description.participants import participant_flow
from clinical_assets.modelling.evaluation.kept_search import KeptSearch, Origin
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.modelling.evaluation.stored_searches import read_searches, write_searches
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.leakage.leakage import LeakageFound
from clinical_assets.modelling.search.fitting import fit_final
from clinical_assets.modelling.search.search import SearchProgress, nested
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.reference import write_reference
from clinical_assets.modelling.trainings.report import TrainingReport, make_report
from clinical_assets.warehouse.features.feature_table import FeatureTable, load_feature_table
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.sql_text import quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Made:
    """A sealed bundle and what it came from.

    Attributes
    ----------
    table : FeatureTable
        Rows that were trained on and judged with.
    result : TrainingResult
        What the training found out.
    holdout_scores : polars.DataFrame
        The result's, with the risks that the bundle gives: those that are served, and that every later look at the
        holdout gets again.
    bundle : Bundle
        Verified.
    provenance : dict
        As ``trainings.provenance`` gave it.
    origins : dict of candidate to Origin
        Earlier trainings whose searches were taken over.
    """

    table: FeatureTable
    result: TrainingResult
    holdout_scores: pl.DataFrame
    bundle: Bundle
    provenance: dict[str, Any]
    origins: dict[str, Origin]


@dataclass(frozen=True)
class StoredTraining:
    """A training beside its evidence, as the cohort's newest."""

    result: TrainingResult
    report: TrainingReport
    training: trainings.Training
    origins: dict[str, Origin]


def make_bundle(
    spec: CohortSpec,
    *,
    warehouse: Warehouse,
    sql: SqlProject,
    folder: Path,
    run: Mapping[str, Any] | None = None,
    progress: SearchProgress | None = None,
    kept: KeptSearch | None = None,
) -> Made:
    """Train on the features that stand in a warehouse and seal the winner.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    warehouse : Warehouse
        Holds ``raw.*``, ``validated.*`` and ``model.features`` of the cohort.
    sql : SqlProject
        The models that made them.
    folder : Path
        The bundle goes to ``<folder>/<first 16 digits of its digest>/bundle``.
    run : mapping, optional
        Plain values that name this run only; they do not count for the digest.
    progress : callable, optional
        Told after every job of the nested search.
    kept : KeptSearch, optional
        Searches of an earlier training, taken over where they would come out the same.

    Raises
    ------
    LeakageFound
        A feature knows the outcome.
    InsufficientData
        Rows, events or subjects do not suffice.
    WarehouseError
        Features were not built, or the tables are of different age.
    BundleError
        The bundle scores otherwise than the fitted pipeline; tried on each candidate before the search.
    """
    table = load_feature_table(warehouse, spec)
    features, outcome = sql.compile(sql.feature_model), sql.compile(sql.outcome_model)
    result = train_cohort(
        table,
        spec,
        progress=progress,
        raw_frame=warehouse.query(f"SELECT * FROM validated.{quoted(spec.subject_table)}"),
        lineage=sql.lineage(sql.feature_model),
        rehearse=rehearse_export,
        software=software(spec),
        kept=kept,
    )
    origins = {name: kept.origins[name] for name in result.taken_over} if kept is not None else {}
    made = trainings.provenance(
        spec,
        data_digest=table.digest,
        statement=features.sql,
        outcome_statement=outcome.sql,
        snapshots=raw_digests(warehouse, spec),
    )
    bundle = Bundle.write(
        folder,
        result.model,
        X=features_of(result.out_of_fold.join(table.frame, on=list(spec.key)), table.feature_columns),
        statement=features.sql,
        facts=BundleFacts(
            cohort=spec.name,
            synthetic=spec.synthetic,
            action_from=result.action_from,
            threshold=result.threshold.threshold,
            tiers=tuple(StoredTier.model_validate(tier.model_dump()) for tier in spec.decisions.tiers),
            reference=StoredReference.model_validate(result.model.reference),
            provenance=TrainingProvenance.model_validate(made),
            **_class_costs(spec),
        ),
        run={
            **(run or {}),
            "processor": trainings.processor(),
            **({"searches_from": {name: origin._asdict() for name, origin in origins.items()}} if origins else {}),
        },
        by_digest=True,
    )
    return Made(
        table=table,
        result=result,
        holdout_scores=_served(result, table, bundle),
        bundle=bundle,
        provenance=made,
        origins=origins,
    )


def train_and_keep(
    spec: CohortSpec,
    *,
    warehouse: Warehouse,
    sql: SqlProject,
    run_id: str,
    progress: SearchProgress | None = None,
    afresh: bool = False,
) -> StoredTraining:
    """Train, and keep bundle, report, description and scored rows as the cohort's newest training.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    warehouse : Warehouse
        Holds the features and outcomes of the cohort.
    sql : SqlProject
        The cohort's feature and outcome models.
    run_id : str
        The run that trains; it stands beside the bundle, outside its digest.
    progress : callable, optional
        Called with (what, done, total).
    afresh : bool
        True fits every candidate, although the newest training had made the same search.

    Raises
    ------
    LeakageFound
        A feature knows the outcome.
    InsufficientData
        Rows, events or subjects do not suffice. Either refusal becomes the cohort's newest word.
    """
    settings = warehouse.settings
    try:
        made = make_bundle(
            spec,
            warehouse=warehouse,
            sql=sql,
            folder=trainings.models_folder(settings, spec.name),
            run={"dagster_run_id": run_id},
            progress=progress,
            kept=None if afresh else read_searches(warehouse),
        )
    except (LeakageFound, InsufficientData) as error:
        leaks = error.leaks if isinstance(error, LeakageFound) else ()
        trainings.keep_refusal(settings, spec.name, message=str(error), leaks=leaks, run_id=run_id)
        raise
    with warehouse.reader() as connection:
        flow = participant_flow(connection, spec)
    described = {column.name: column.description for column in sql.columns(sql.feature_model)}
    report = make_report(
        made.result,
        spec,
        made.bundle,
        table=made.table,
        flow=flow,
        prov=made.provenance,
        labels_of_features={name: described[name] for name in made.bundle.feature_columns if described.get(name)},
    )
    training = trainings.keep(
        settings,
        spec.name,
        bundle=made.bundle,
        results=report.results,
        files={
            **{f"{name}.png": content for name, content in report.pictures.items()},
            trainings.SPEC: readable_json(spec.training_facts()).encode(),
        },
        run_id=run_id,
    )
    _keep_tables(warehouse, made, run_id)
    return StoredTraining(result=made.result, report=report, training=training, origins=made.origins)


def software(spec: CohortSpec) -> str:
    """Digest of what a search runs: the code of this package, the libraries, Python and the processor."""
    return value_digest(
        {
            "code": [code_digest(nested), code_digest(fit_final)],
            "libraries": trainings.libraries(spec),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processor": trainings.processor(),
        }
    )


def raw_digests(warehouse: Warehouse, spec: CohortSpec) -> dict[str, str]:
    """Digest of each raw table as it stands, which is the name of its snapshot.

    The content is asked, not the list of snapshots: a source that went back to what it once was keeps its old
    snapshot, and the newest file would be the wrong one.
    """
    with warehouse.reader() as connection:
        return {name: table_digest(connection, f"raw.{quoted(name)}") for name in spec.tables}


def _served(result: TrainingResult, table: FeatureTable, bundle: Bundle) -> pl.DataFrame:
    """The holdout's scores as the bundle gives them."""
    import polars as pl

    scores = result.holdout_scores
    rows = scores.select(table.key).join(table.frame, on=list(table.key), maintain_order="left")
    served = bundle.score(rows)
    bundle.require_same(action_risk(served, action_from=result.action_from), scores["risk"].to_numpy())
    columns = [pl.Series("risk", action_risk(served, action_from=result.action_from))]
    if served.ndim == 2:
        columns += [pl.Series(f"probability_{k}", np.ascontiguousarray(served[:, k])) for k in range(served.shape[1])]
    return scores.with_columns(columns)


def _class_costs(spec: CohortSpec) -> dict[str, Any]:
    """Given only where they are described: a bundle without them keeps its bytes."""
    costs = spec.decisions.class_costs
    return {} if costs is None else {"class_costs": costs.matrix}


def _keep_tables(warehouse: Warehouse, made: Made, run_id: str) -> None:
    """Every setting tried, and the scores that nobody may tune on again, beside the features they came from."""
    result = made.result
    tables = {
        "trials": result.trials,
        "out_of_fold": result.out_of_fold,
        "candidate_scores": result.candidate_scores,
        "holdout_scores": made.holdout_scores,
    }
    with warehouse.writer() as connection:
        for name, frame in tables.items():
            connection.register("_kept", frame.to_arrow())
            connection.execute(f"CREATE OR REPLACE TABLE model.{name} AS SELECT * FROM _kept")
            connection.unregister("_kept")
        fitted = {candidate.name: Origin(result.digest, run_id) for candidate in result.candidates}
        write_searches(connection, result.search_key, fitted | made.origins)
        write_reference(
            connection,
            table=made.table,
            out_of_fold=result.out_of_fold,
            holdout_scores=made.holdout_scores,
            digest=made.bundle.digest,
        )
