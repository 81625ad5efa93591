"""What a study leaves in its MLflow run: sweeps as nested runs, importances, models, digests; nothing of a person.

What belongs here: from results to a run. What does not: how runs are found and closed (``modelling.tracking``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from clinical_assets.foundation.canonical import readable_json
from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun
from clinical_assets.modelling.tracking.mlflow_values import Candidate
from clinical_assets.pathways.experiments.input_archive import ArchivedInput
from clinical_assets.pathways.experiments.portable_models import portable_model
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.designs import Design, StudyData
from clinical_assets.pathways.study.pieces import one_thread_per_fit
from clinical_assets.pathways.study.protocols import Performance, performance, sweep
from clinical_assets.pathways.study.study_results import StudyResult, StudyRow
from clinical_assets.pathways.study.sweep import Family
from clinical_assets.statistics.uncertainty.intervals import Estimate

KIND, MICRO_COHORT_STUDY = "kind", "micro_cohort_study"
DESCRIPTION, INPUTS, STUDY, ABLATION = "description.yaml", "inputs.json", "study.json", "ablation.json"
REPORT = "report.html"
#: Features of each model that are drawn as a metric by rank.
_RANKED = 50


def record_study(
    run: TrackedRun,
    data: StudyData,
    result: StudyResult,
    families: Sequence[Family],
    *,
    digests: Mapping[str, str],
    description: str,
    inputs: Sequence[ArchivedInput],
    facts: str,
    pictures: Mapping[str, bytes],
    plan: Mapping[str, Any],
    report: str,
) -> None:
    """Keep a study.

    Parameters
    ----------
    run : TrackedRun
        Of the cohort's Dagster run.
    data, result, families
        The study, and the families that it swept.
    digests : mapping
        Of ``study``, ``expression``, ``scores``, ``gene_sets``: tags of the run.
    description : str
        The YAML that the study was run from.
    inputs : sequence of ArchivedInput
        Files by digest; the files themselves stay in the data folder.
    facts : str
        The study's own JSON.
    pictures : mapping of title to PNG
        Kept below ``plots``.
    plan : mapping
        Settings of the study.
    report : str
        The study's HTML page; subjects are numbers on it.
    """
    import polars as pl

    by_name = {family.name: family for family in families}
    run.tag(
        {
            KIND: MICRO_COHORT_STUDY,
            **{f"{name}_digest": digest for name, digest in digests.items()},
            "synthetic": result.synthetic,
            "headline": result.headline()[:4000],
        }
    )
    run.record_parameters({"subjects": result.n, "events": result.events, **plan})
    run.record_metrics(_of_whole(result))
    importances: list[tuple[str, str, int, str, float]] = []
    files: dict[str, bytes | str] = {}
    with one_thread_per_fit():
        for row in result.rows:
            design, family = data.design(row.design), by_name[row.family]
            run.record_candidates(_configurations(design, data, family, row, result.seed))
            name = f"{row.design}_{row.family}".replace(" ", "_")
            files[f"models/{name}.onnx"], files[f"models/{name}.json"] = portable_model(
                design, data.y, family, row.study.best, seed=result.seed
            )
            importances += _importances(design, data, family, row, result.seed)
    _record_ranks(run, importances)
    columns = {"design": pl.String, "family": pl.String, "rank": pl.Int64, "feature": pl.String}
    table = pl.DataFrame(importances, schema={**columns, "importance": pl.Float64}, orient="row")
    run.record_files(
        {
            **files,
            **{f"plots/{title.replace(', ', '_').replace(' ', '_')}.png": png for title, png in pictures.items()},
            DESCRIPTION: description,
            INPUTS: readable_json([asdict(one) for one in inputs]),
            STUDY: facts,
            REPORT: report,
            "importances.csv": table.write_csv(),
        }
    )


def record_ablations(
    run: TrackedRun, reports: Sequence[AblationResult], *, facts: str, digest: str, report: str
) -> None:
    """Keep the ablations in the run of their Dagster run."""
    run.tag({"ablation_digest": digest})
    metrics: dict[str, Estimate | float] = {}
    for one in reports:
        name = one.design.replace(" ", "_")
        run.tag({f"ablation.{name}": one.conclusion})
        metrics |= {
            f"ablation_{name}_all_features": one.honest.full.performance.balanced_accuracy,
            f"ablation_{name}_without_the_top": one.honest.same_configuration.balanced_accuracy,
            f"ablation_{name}_new_sweep": one.honest.new_sweep.balanced_accuracy,
            f"ablation_{name}_random_removal": float(one.honest.random_removal.mean()),
            f"ablation_{name}_p": one.honest.p_value,
        }
    run.record_metrics(metrics)
    run.record_files({ABLATION: facts, REPORT: report})


def _of_whole(result: StudyResult) -> dict[str, Estimate | float]:
    best = max(result.rows, key=lambda row: row.honest.performance.balanced_accuracy.value)
    measures: dict[str, Estimate | float] = {
        "left_out_balanced_accuracy": best.honest.performance.balanced_accuracy,
        "study_balanced_accuracy": max(row.study.cross_validated.balanced_accuracy.value for row in result.rows),
        "mean_optimism": sum(row.optimism for row in result.rows) / len(result.rows),
    }
    nulls = result.choice or (result.nulls[0] if result.nulls else None)
    if nulls is not None:
        measures |= {"p_left_out": nulls.honest.p_value, "p_study": nulls.study.p_value}
    for row in result.rows:
        name = f"{row.design}/{row.family}".replace(" ", "_")
        measures |= {
            f"{name}/{protocol}/{measure}": estimate
            for protocol, found in (("study", row.study.cross_validated), ("left_out", row.honest.performance))
            for measure, estimate in _measures(found).items()
        }
    return measures


def _measures(found: Performance) -> dict[str, Estimate | float]:
    measures: dict[str, Estimate | float] = {
        "recall": found.recall,
        "specificity": found.specificity,
        "balanced_accuracy": found.balanced_accuracy,
    }
    return measures if found.precision is None else {"precision": found.precision, **measures}


def _configurations(design: Design, data: StudyData, family: Family, row: StudyRow, seed: int) -> tuple[Candidate, ...]:
    """Every configuration of a row's sweep, cross-validated on the study's own 80 %."""
    train = row.study.train
    began = time.perf_counter()
    swept = sweep(design.rows(train), data.y[train], family, n_folds=5, seed=seed)
    seconds = (time.perf_counter() - began) / len(swept.configurations)
    criterion = family.selection.criterion
    found = []
    for number, configuration in enumerate(swept.configurations):
        measured = performance(data.y[train], (swept.probability[number] > 0.5).astype(np.float64))
        missing = {} if measured.precision is not None else {"precision": "nobody was called positive"}
        found.append(
            Candidate(
                name=f"{design.name}, {family.name}, {number + 1}",
                parameters={"design": design.name, "family": family.name, **dict(configuration.parameters)},
                metrics={
                    **_measures(measured),
                    **({} if criterion == "balanced_accuracy" else {criterion: float(swept.values[number])}),
                    "seconds": seconds,
                },
                insufficient=missing,
                tags={"chosen": configuration == row.study.best, KIND: "configuration"},
            )
        )
    return tuple(found)


def _importances(
    design: Design, data: StudyData, family: Family, row: StudyRow, seed: int
) -> list[tuple[str, str, int, str, float]]:
    values = family.importances(row.study.best, design.x, data.y, seed=seed)
    order = [int(i) for i in np.argsort(-values, kind="stable") if values[i] > 0]
    return [
        (design.name, family.name, rank, design.features[i], float(values[i])) for rank, i in enumerate(order, start=1)
    ]


def _record_ranks(run: TrackedRun, importances: Sequence[tuple[str, str, int, str, float]]) -> None:
    """Importance by rank, as a metric over steps that MLflow draws."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(f"importance/{design}/{family}".replace(" ", "_"), value, now, rank)
        for design, family, rank, _, value in importances
        if rank <= _RANKED
    ]
    for first in range(0, len(points), 1000):
        run.client.log_batch(run.run_id, metrics=points[first : first + 1000])
