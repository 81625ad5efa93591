"""What a training leaves in its MLflow run: everything that compares trainings, nothing that names a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clinical_assets.foundation.canonical import readable_json
from clinical_assets.modelling.evaluation.kept_search import Origin
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun
from clinical_assets.modelling.tracking.mlflow_values import Candidate

RESULTS, TRIALS = "results.json", "trials.csv"


def record_training(
    run: TrackedRun,
    result: TrainingResult,
    *,
    spec_digest: str,
    searches_from: Sequence[Origin] = (),
    files: Mapping[str, bytes | str | Path] | None = None,
) -> None:
    """Keep a training: candidates nested, the final model's setting, the holdout's measures, pictures, trials.

    Parameters
    ----------
    run : TrackedRun
        Of the cohort's Dagster run.
    result : TrainingResult
        Scores of single rows are not written.
    spec_digest : str
        Of the description trained from.
    searches_from : sequence of Origin
        Earlier trainings whose searches were taken over; their MLflow runs carry the tag ``dagster_run_id`` too.
    files : mapping of path to content, optional
        Pictures and the like, beside ``results.json`` and ``trials.csv``.
    """
    earlier = {
        "searches_from_training": ", ".join(dict.fromkeys(origin.training for origin in searches_from)),
        "searches_from_dagster_run": ", ".join(dict.fromkeys(origin.run_id for origin in searches_from)),
    }
    run.tag(
        {
            **(earlier if searches_from else {}),
            "data_digest": result.data_digest,
            "spec_digest": spec_digest,
            "result_digest": result.digest,
            "synthetic": result.synthetic,
            "selected": result.selected,
            "warnings": ", ".join(finding.code for finding in result.warnings) or "none",
        }
    )
    run.record_candidates(candidates_of(result))
    run.record_parameters(
        {
            "candidate": result.selected,
            "imbalance": result.model.imbalance,
            "seed": result.seed,
            "n": result.n,
            "events": result.events,
            "n_train": result.train.n,
            "n_holdout": result.holdout.n,
            "features": len(result.model.feature_columns),
            "model": result.model.parameters,
        }
    )
    decision = result.threshold
    run.record_metrics(
        {
            **result.metrics,
            "threshold": decision.threshold,
            "net_benefit_out_of_fold": decision.net_benefit,
            "net_benefit_advantage_out_of_fold": decision.advantage,
        },
        insufficient=result.insufficient,
    )
    run.record_files(
        {
            **(files or {}),
            RESULTS: readable_json(result.to_json()),
            TRIALS: _trials(result),
        }
    )


def candidates_of(result: TrainingResult) -> tuple[Candidate, ...]:
    """Every candidate's nested estimate, with the setting that each outer fold's search chose."""
    return tuple(
        Candidate(
            name=candidate.name,
            parameters={
                f"fold_{setting['outer_fold']}": {"imbalance": setting["imbalance"], **setting["parameters"]}
                for setting in candidate.settings
            },
            metrics=candidate.metrics,
            insufficient=candidate.insufficient,
            tags={"selected": candidate.name == result.selected, "synthetic": result.synthetic},
        )
        for candidate in result.candidates
    )


def _trials(result: TrainingResult) -> str:
    import polars as pl

    scores = pl.col("fold_scores").list.eval(pl.element().cast(pl.String)).list.join(" ")
    return result.trials.with_columns(scores).write_csv()
