"""From a feature table to a risk model with its evidence, in one call.

The order is the point: leaks are looked for before anything is fitted; candidates are compared on the training rows
alone; the holdout is scored once, by the final model, after everything was decided.
"""

from __future__ import annotations

import importlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.errors import InsufficientData
from clinical_assets.modelling import candidates as models
from clinical_assets.modelling.evaluation import Evaluation, evaluate
from clinical_assets.modelling.fitting import fit_final
from clinical_assets.modelling.inputs import FloatArray, ModelInput, TrainingTable, model_input
from clinical_assets.modelling.leakage import Lineage, find_leaks, refuse_leaks
from clinical_assets.modelling.left_out import left_out_rows
from clinical_assets.modelling.losses import action_risk
from clinical_assets.modelling.observations import observe
from clinical_assets.modelling.result import CandidateResult, Counts, TrainingResult
from clinical_assets.modelling.sample_size import state_sample_size
from clinical_assets.modelling.search import NestedEstimate, Progress, nested, trials_frame
from clinical_assets.modelling.selection import select
from clinical_assets.modelling.splits import split_holdout
from clinical_assets.modelling.subgroups import Sample, SubgroupRow, subgroup_rows
from clinical_assets.modelling.thresholds import decide_threshold

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec

# Two: boosters and forests leave Python's lock while they fit; a third thread would wait for it.
WORKERS = 2


def train_cohort(
    table: TrainingTable,
    spec: CohortSpec,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
    raw_frame: pl.DataFrame | None = None,
    lineage: Lineage | None = None,
) -> TrainingResult:
    """Train, choose, calibrate and judge the models of one cohort.

    Parameters
    ----------
    table : TrainingTable
        One row per prediction unit with a known outcome; the order of rows does not matter.
    spec : CohortSpec
        The cohort's description: candidates, search, costs, tiers, limits.
    progress : callable, optional
        Told after every job of the nested search.
    workers : int, optional
        Jobs side by side, each with one thread; default 2, or 1 on one core. Results do not depend on it.
    raw_frame, lineage : optional
        Help to find leaks; see ``leakage.find_leaks``.

    Returns
    -------
    TrainingResult
        The same to the byte for the same description, rows and seed, on one machine.

    Raises
    ------
    LeakageFound
        A feature knows the outcome.
    InsufficientData
        Rows, events or subjects do not suffice for the folds or for a holdout with both outcomes.
    UnusableTable
        The table breaks its promises.
    """
    watch = _Watch()
    seed, action_from = spec.modelling.search.seed, spec.target.action_from
    with watch.stage("input and leakage"):
        data = model_input(table, spec)
        split = split_holdout(data.frame, subject=table.subject, share=spec.modelling.holdout_share)
        train, holdout = data.rows(split.train), data.rows(split.holdout)
        _refuse_unusable_parts(train, holdout)
        leaks = find_leaks(table, spec, raw_frame=raw_frame, lineage=lineage, split=split)
        refuse_leaks(leaks, cohort=spec.name)
    names = tuple(dict.fromkeys(spec.modelling.candidates))
    with watch.stage("libraries"):
        _load(names, spec.modelling.imbalance)
    with _one_thread_each(), _quiet():
        with watch.stage("nested search"):
            estimates = nested(
                names,
                train,
                modelling=spec.modelling,
                workers=workers or min(WORKERS, os.cpu_count() or 1),
                progress=progress,
            )
        with watch.stage("comparison"):
            compared = {name: _judge(estimate.risk, train, spec) for name, estimate in estimates.items()}
            selection = select(
                {name: estimate.risk for name, estimate in estimates.items()},
                train.y,
                criterion=spec.modelling.criterion,
                costs=spec.decisions.costs,
                action_from=action_from,
                groups=train.clusters,
                seed=seed,
            )
        chosen = estimates[selection.selected]
        with watch.stage("final model"):
            model, final = fit_final(selection.selected, train, modelling=spec.modelling)
        with watch.stage("threshold"):
            decision = decide_threshold(
                train.y >= action_from,
                action_risk(chosen.risk, action_from=action_from),
                decisions=spec.decisions,
                groups=train.clusters,
                seed=seed,
            )
        with watch.stage("holdout"):
            served = model.predict_proba(holdout.X)
            report = evaluate(
                holdout.y,
                served,
                decisions=spec.decisions,
                action_from=action_from,
                groups=holdout.clusters,
                seed=seed,
            )
        with watch.stage("subgroups"):
            subgroups = _subgroups(table, spec, train, holdout, chosen, served)
            if spec.modelling.split_by is not None:
                labels = _attributes(table, spec, train)[spec.modelling.split_by]
                subgroups += left_out_rows(train, labels, model, spec)
    inside = compared[selection.selected].metrics.get("auroc")
    counted = _counts(train, action_from)
    size = state_sample_size(
        n=counted.n,
        events=counted.events,
        n_parameters=len(train.feature_columns),
        auroc=None if inside is None else inside.value,
    )
    return TrainingResult(
        cohort=spec.name,
        synthetic=spec.synthetic,
        classes=spec.target.classes,
        action_from=action_from,
        data_digest=table.digest,
        seed=seed,
        total=_counts(data, action_from),
        train=counted,
        holdout=_counts(holdout, action_from),
        candidates=tuple(_candidate(estimates[name], compared[name]) for name in names),
        selection=selection,
        model=model,
        out_of_fold=_scores(table, train, chosen.risk, action_from, estimate=chosen),
        holdout_scores=_scores(table, holdout, served, action_from, raw=model.raw_risk(holdout.X)),
        evaluation=report,
        threshold=decision,
        leakage=leaks,
        warnings=(
            *observe(train, spec, model=model, inside=compared[selection.selected], outside=report, size=size),
            *decision.findings,
        ),
        trials=trials_frame([*(found for name in names for found in estimates[name].tuned), final]),
        subgroups=subgroups,
        sample_size=size,
        profile=watch.seconds,
    )


class _Watch:
    """Seconds of wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def _refuse_unusable_parts(train: ModelInput, holdout: ModelInput) -> None:
    for part, name in ((train, "training"), (holdout, "holdout")):
        if part.n == 0:
            raise InsufficientData(
                f"no row falls into the {name} part: the cohort has few subjects.",
                cure="Widen the cohort, or change modelling.holdout_share.",
            )
    train.refuse_missing_classes(where="training")


def _load(names: tuple[str, ...], imbalance: tuple[str, ...]) -> None:
    """Import what the candidates need, here and once: threads that import the same library wait for one another."""
    wanted = ["sklearn.model_selection", "sklearn.pipeline", "optuna"]
    wanted += [name for name in ("lightgbm", "xgboost") if name in names]
    if set(names) - {"lightgbm", "xgboost"}:
        wanted += ["sklearn.impute", "sklearn.preprocessing", "sklearn.feature_selection"]
    if set(imbalance) & set(models.SAMPLERS):
        wanted.append("imblearn.over_sampling")
    for name in wanted:
        importlib.import_module(name)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Matrix libraries in one thread: sums keep their order, and small fits do not wait for idle helpers."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without scikit-learn's notes on single fits of a search; the final model's convergence is a finding."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _judge(risk: FloatArray, train: ModelInput, spec: CohortSpec) -> Evaluation:
    return evaluate(
        train.y,
        risk,
        decisions=spec.decisions,
        action_from=spec.target.action_from,
        groups=train.clusters,
        seed=spec.modelling.search.seed,
        leave_out=frozenset({"ici", "curves"}),
    )


def _candidate(estimate: NestedEstimate, judged: Evaluation) -> CandidateResult:
    settings = tuple(
        {"outer_fold": tuned.outer_fold, "parameters": tuned.parameters, "imbalance": tuned.imbalance}
        for tuned in estimate.tuned
    )
    return CandidateResult(estimate.candidate, judged.metrics, judged.insufficient, settings)


def _counts(part: ModelInput, action_from: int) -> Counts:
    by_class = np.bincount(part.y, minlength=len(part.classes))
    return Counts(part.n, int(by_class[action_from:].sum()), tuple(int(count) for count in by_class))


def _attributes(table: TrainingTable, spec: CohortSpec, part: ModelInput) -> pl.DataFrame:
    columns: Mapping[str, str] = {name: table.protected_column(name) for name in spec.protected}
    return part.frame.select(**columns)


def _subgroups(
    table: TrainingTable,
    spec: CohortSpec,
    train: ModelInput,
    holdout: ModelInput,
    chosen: NestedEstimate,
    served: FloatArray,
) -> tuple[SubgroupRow, ...]:
    if not spec.protected:
        return ()
    samples: tuple[tuple[Sample, ModelInput, FloatArray], ...] = (
        ("holdout", holdout, served),
        ("out_of_fold", train, chosen.risk),
    )
    return tuple(
        row
        for sample, part, risk in samples
        for row in subgroup_rows(
            part.y,
            risk,
            _attributes(table, spec, part),
            sample=sample,
            decisions=spec.decisions,
            action_from=spec.target.action_from,
            groups=part.clusters,
            seed=spec.modelling.search.seed,
        )
    )


def _scores(
    table: TrainingTable,
    part: ModelInput,
    risk: FloatArray,
    action_from: int,
    *,
    estimate: NestedEstimate | None = None,
    raw: FloatArray | None = None,
) -> pl.DataFrame:
    import polars as pl

    columns = list(dict.fromkeys((*table.key, table.subject, "outcome")))
    added: dict[str, np.ndarray] = {}
    if estimate is not None:
        added["outer_fold"], raw = estimate.fold, estimate.raw
    if risk.ndim == 1 and raw is not None:
        added["raw_risk"] = raw
    added["risk"] = action_risk(risk, action_from=action_from)
    if risk.ndim == 2:
        added |= {f"probability_{k}": risk[:, k] for k in range(risk.shape[1])}
    return part.frame.select(columns).with_columns(**{name: pl.Series(values) for name, values in added.items()})
