"""From a cohort's tables to a sealed bundle with its report: the one way that a training takes.

What belongs here: the order of the steps after features stand in the warehouse. A training and its later reproduction
go through ``make_bundle`` alike, so that equal inputs give equal digests.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.modelling import trainings
from clinical_assets.modelling.bundle import Bundle

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.report import Report
    from clinical_assets.modelling.result import TrainingResult
    from clinical_assets.modelling.search import Progress
    from clinical_assets.warehouse.feature_table import FeatureTable
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse

SPEC = "spec.json"


@dataclass(frozen=True)
class Made:
    """A sealed bundle and what it came from.

    Attributes
    ----------
    table : FeatureTable
        Rows that were trained on and judged with.
    result : TrainingResult
        What the training found out.
    bundle : Bundle
        Verified.
    provenance : dict
        As ``trainings.provenance`` gave it.
    """

    table: FeatureTable
    result: TrainingResult
    bundle: Bundle
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """A training beside its evidence, as the cohort's newest."""

    result: TrainingResult
    report: Report
    training: trainings.Training


def make_bundle(
    spec: CohortSpec,
    *,
    warehouse: Warehouse,
    sql: SqlProject,
    folder: Path,
    run: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
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
        The bundle goes to ``<folder>/<training>/bundle``; the same result of the same origin has the same place.
    run : mapping, optional
        Plain values that name this run only; they do not count for the digest.
    progress : callable, optional
        Told after every job of the nested search.

    Raises
    ------
    LeakageFound
        A feature knows the outcome.
    InsufficientData
        Rows, events or subjects do not suffice.
    WarehouseError
        Features were not built, or the tables are of different age.
    """
    from clinical_assets.modelling.inputs import features_of
    from clinical_assets.modelling.training import train_cohort
    from clinical_assets.warehouse.feature_table import load_feature_table
    from clinical_assets.warehouse.sql_text import quoted

    table = load_feature_table(warehouse, spec)
    features, outcome = sql.compile(sql.feature_model), sql.compile(sql.outcome_model)
    result = train_cohort(
        table,
        spec,
        progress=progress,
        raw_frame=warehouse.query(f"SELECT * FROM validated.{quoted(spec.subject_table)}"),
        lineage=sql.lineage(sql.feature_model),
    )
    made = trainings.provenance(
        spec,
        data_digest=table.digest,
        statement=features.sql,
        outcome_statement=outcome.sql,
        snapshots=raw_digests(warehouse, spec),
    )
    bundle = Bundle.write(
        folder / _place(result, made) / "bundle",
        result.model,
        X=features_of(result.out_of_fold.join(table.frame, on=list(spec.key)), table.feature_columns),
        statement=features.sql,
        facts={
            "cohort": spec.name,
            "synthetic": spec.synthetic,
            "action_from": result.action_from,
            "threshold": result.threshold.threshold,
            "tiers": [tier.model_dump(mode="json") for tier in spec.decisions.tiers],
            "reference": result.model.reference,
            "provenance": made,
        },
        run={**(run or {}), "processor": processor()},
    )
    return Made(table=table, result=result, bundle=bundle, provenance=made)


def train_and_keep(
    spec: CohortSpec, *, warehouse: Warehouse, sql: SqlProject, run_id: str, progress: Progress | None = None
) -> Kept:
    """Train, and keep bundle, report, description and scored rows as the cohort's newest training.

    Parameters
    ----------
    run_id : str
        The run that trains; it stands beside the bundle, outside its digest.

    Raises
    ------
    LeakageFound
        A feature knows the outcome; the refusal becomes the cohort's newest word.
    """
    from clinical_assets.modelling.inputs import features_of
    from clinical_assets.modelling.leakage import LeakageFound
    from clinical_assets.modelling.report import make_report

    settings = warehouse.settings
    try:
        made = make_bundle(
            spec,
            warehouse=warehouse,
            sql=sql,
            folder=trainings.models_folder(settings, spec.name),
            run={"dagster_run_id": run_id},
            progress=progress,
        )
    except LeakageFound as error:
        trainings.keep_refusal(settings, spec.name, message=str(error), leaks=error.leaks, run_id=run_id)
        raise
    rows = made.result.holdout_scores.join(made.table.frame, on=list(spec.key))
    holdout = features_of(rows, made.table.feature_columns)
    report = make_report(made.result, spec, made.bundle, holdout_features=holdout, prov=made.provenance)
    training = trainings.keep(
        settings,
        spec.name,
        bundle=made.bundle,
        results=report.results,
        files={
            **{f"{name}.png": content for name, content in report.pictures.items()},
            SPEC: json.dumps(spec.training_facts(), indent=1, ensure_ascii=False).encode(),
        },
        run_id=run_id,
    )
    _keep_tables(warehouse, made)
    return Kept(result=made.result, report=report, training=training)


def raw_digests(warehouse: Warehouse, spec: CohortSpec) -> dict[str, str]:
    """Digest of each raw table as it stands, which is the name of its snapshot.

    The content is asked, not the list of snapshots: a source that went back to what it once was keeps its old
    snapshot, and the newest file would be the wrong one.
    """
    from clinical_assets.warehouse.digests import table_digest
    from clinical_assets.warehouse.sql_text import quoted

    with warehouse.reader() as connection:
        return {name: table_digest(connection, f"raw.{quoted(name)}") for name in spec.tables}


def _place(result: TrainingResult, made: Mapping[str, Any]) -> str:
    """Name of a training's folder; a description that changed in words gives the same result, in another bundle."""
    from clinical_assets.warehouse.digests import value_digest

    return value_digest({"result": result.digest, "provenance": dict(made)}).removeprefix("sha256:")[:16]


def processor() -> str:
    """Model of the processor: sums of floating-point numbers may differ between two in the last digit."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor()])[0] or platform.machine()


def _keep_tables(warehouse: Warehouse, made: Made) -> None:
    """Every setting tried, and the scores that nobody may tune on again, beside the features they came from."""
    from clinical_assets.modelling.reference import write_reference

    result = made.result
    tables = {"trials": result.trials, "out_of_fold": result.out_of_fold, "holdout_scores": result.holdout_scores}
    with warehouse.writer() as connection:
        for name, frame in tables.items():
            connection.register("_kept", frame.to_arrow())
            connection.execute(f"CREATE OR REPLACE TABLE model.{name} AS SELECT * FROM _kept")
            connection.unregister("_kept")
        write_reference(connection, table=made.table, result=result, digest=made.bundle.digest)
