"""From a feature table to a risk model with its evidence, in one call.

The order is the point: leaks are looked for before anything is fitted; candidates are compared on the training rows
alone; the holdout is scored once, by the final model, after everything was decided.
"""

from __future__ import annotations

import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.decisions import SAMPLERS, Modelling
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import KEPT_TOGETHER
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.evaluation.evaluation import Evaluation, evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, everybody_at_risk, with_the_censored
from clinical_assets.modelling.evaluation.kept_search import KeptSearch, search_key
from clinical_assets.modelling.evaluation.leave_one_group_out import left_out_rows
from clinical_assets.modelling.evaluation.result import CandidateResult, Counts, TrainingResult
from clinical_assets.modelling.evaluation.subgroups import SampleKind, SubgroupRow, subgroup_rows
from clinical_assets.modelling.evaluation.thresholds import decide_threshold
from clinical_assets.modelling.evaluation.training_warnings import (
    noise_findings,
    observe,
    twin_findings,
    weight_findings,
)
from clinical_assets.modelling.leakage.alike import undeclared_groups
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.leakage.leakage import find_leaks, find_model_leaks, refuse_leaks
from clinical_assets.modelling.leakage.sources import FeatureSources
from clinical_assets.modelling.search.fitting import fit_final
from clinical_assets.modelling.search.published import candidate_type, is_published
from clinical_assets.modelling.search.search import NestedEstimate, Searched, SearchProgress, nested, trials_frame
from clinical_assets.modelling.search.selection import select
from clinical_assets.modelling.table.inputs import ModelInput, TrainingTable, model_input
from clinical_assets.modelling.table.row_losses import action_risk, mean_auroc
from clinical_assets.modelling.table.sample_size import people_of, state_sample_size
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.modelling.table.twins import find_twins

if TYPE_CHECKING:
    import polars as pl


# Two: boosters and forests leave Python's lock while they fit; a third thread would wait for it.
WORKERS = 2


def train_cohort(
    table: TrainingTable,
    spec: CohortSpec,
    *,
    progress: SearchProgress | None = None,
    workers: int | None = None,
    raw_frame: pl.DataFrame | None = None,
    lineage: FeatureSources | None = None,
    rehearse: Callable[[ModelInput, Modelling], None] | None = None,
    software: str = "",
    kept: KeptSearch | None = None,
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
    rehearse : callable, optional
        Looks at the training rows before the search, and raises what would make the result useless.
    software : str
        Names the code, the libraries and the machine; searches of another one are not taken over.
    kept : KeptSearch, optional
        Of an earlier training. Candidates whose search would be the same are not fitted again; results are equal.

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
        twins = find_twins(data.X, data.groups)
        data = data.grouped(twins.groups)
        split = split_holdout(
            data.frame, subject=table.subject, share=spec.modelling.holdout_share, together=twins.groups
        )
        train, holdout = data.rows(split.train), data.rows(split.holdout)
        _refuse_unusable_parts(train, holdout)
        leaks = find_leaks(table, spec, raw_frame=raw_frame, lineage=lineage, split=split)
        refuse_leaks(leaks, cohort=spec.name)
    names = tuple(dict.fromkeys(spec.modelling.candidates))
    with watch.stage("libraries"):
        _load(names, spec.modelling)
    key = search_key(train, spec.modelling, software=software)
    known, unknown = _taken_over(kept if kept is not None and kept.key == key else None, names, train, table, spec)
    with _one_thread_each(), _quiet():
        if rehearse is not None and unknown:
            with watch.stage("rehearsal"):
                rehearse(train, spec.modelling)
        with watch.stage("nested search"):
            estimates = _in_order(
                names,
                known,
                nested(
                    unknown,
                    train,
                    modelling=spec.modelling,
                    workers=workers or min(WORKERS, os.cpu_count() or 1),
                    progress=progress,
                ),
            )
        with watch.stage("leaks of the models"):
            leaks = (*leaks, *_model_leaks(estimates, train, spec, found=leaks, subjects=raw_frame))
            refuse_leaks(leaks, cohort=spec.name)
        with watch.stage("comparison"):
            compared = {name: _judge(estimate, train, spec) for name, estimate in estimates.items()}
            selection = select(
                {name: estimate.risk for name, estimate in estimates.items()},
                train.y,
                criterion=spec.modelling.criterion,
                costs=spec.decisions.costs,
                action_from=action_from,
                groups=train.clusters,
                weights=train.weights,
                seed=seed,
            )
        chosen = estimates[selection.selected]
        with watch.stage("final model"):
            model, final = fit_final(
                selection.selected,
                train,
                modelling=spec.modelling,
                found=_final_search(kept, selection.selected, unknown, train, spec),
            )
        with watch.stage("threshold"):
            decision = decide_threshold(
                train.y >= action_from,
                action_risk(chosen.risk, action_from=action_from),
                decisions=spec.decisions,
                groups=train.clusters,
                weights=train.weights,
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
                weights=holdout.weights,
                seed=seed,
            )
            lost = model.predict_proba(holdout.censored_X) if holdout.censored_X.size else np.empty(0)
            followed = everybody_at_risk(holdout, action_risk(served, action_from=action_from), lost)
            if followed is not None:
                report = with_the_censored(report, followed)
        with watch.stage("subgroups"):
            subgroups = _subgroups(table, spec, train, holdout, chosen, served, followed)
            if spec.modelling.split_by is not None:
                labels = _attributes(table, spec, train.frame)[spec.modelling.split_by]
                subgroups += left_out_rows(train, labels, model, spec)
    inside = compared[selection.selected].metrics.get("auroc")
    counted = _counts(train, action_from)
    people, with_event = people_of(_people(train, table.subject), train.y >= action_from)
    size = state_sample_size(
        n=people,
        events=with_event,
        n_parameters=model.n_parameters,
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
        candidate_scores=_all_scores(table, train, estimates, action_from),
        holdout_scores=_scores(table, holdout, served, action_from, raw=model.raw_risk(holdout.X)),
        evaluation=report,
        threshold=decision,
        leakage=leaks,
        warnings=(
            *twin_findings(twins),
            *weight_findings(train, holdout),
            *noise_findings(train, action_risk(chosen.risk, action_from=action_from), spec),
            *observe(train, spec, model=model, inside=compared[selection.selected], outside=report, size=size),
            *decision.findings,
        ),
        trials=trials_frame([*(found for name in names for found in estimates[name].tuned), final]),
        subgroups=subgroups,
        sample_size=size,
        profile=watch.seconds,
        search_key=key,
        taken_over=tuple(name for name in names if name not in unknown),
    )


def _taken_over(
    kept: KeptSearch | None, names: tuple[str, ...], train: ModelInput, table: TrainingTable, spec: CohortSpec
) -> tuple[dict[str, NestedEstimate], tuple[str, ...]]:
    """What an earlier training found out of candidates, and the candidates that are left to be fitted."""
    known = {} if kept is None else kept.estimates(names, train, table.key, spec.modelling)
    return known, tuple(name for name in names if name not in known)


def _in_order(
    names: tuple[str, ...], known: Mapping[str, NestedEstimate], fitted: Mapping[str, NestedEstimate]
) -> dict[str, NestedEstimate]:
    return {name: fitted.get(name) or known[name] for name in names}


def _final_search(
    kept: KeptSearch | None, selected: str, unknown: tuple[str, ...], train: ModelInput, spec: CohortSpec
) -> Searched | None:
    return None if kept is None or selected in unknown else kept.final(selected, train, spec.modelling)


def _model_leaks(
    estimates: Mapping[str, NestedEstimate],
    train: ModelInput,
    spec: CohortSpec,
    *,
    found: tuple[Leak, ...],
    subjects: pl.DataFrame | None,
) -> tuple[Leak, ...]:
    """What the candidate that ranks best owes to a few columns, or to records that resemble each other."""
    # A formula of others owes nothing to these rows.
    fitted = [name for name in estimates if not is_published(name)]
    if not fitted:
        return ()
    best = max(fitted, key=lambda name: mean_auroc(train.y, estimates[name].risk, train.weights))

    def score(rest: ModelInput) -> FloatArray:
        fixed = estimates[best].tuned[0].parameters
        return nested((best,), rest, modelling=spec.modelling, fixed=fixed)[best].risk

    owed = find_model_leaks(train, spec, best, estimates[best].risk, score, found=found)
    return owed if subjects is None else (*owed, *undeclared_groups(train, spec, subjects, score))


def _people(train: ModelInput, subject: str) -> IntArray:
    """Whose row it is: a group holds several people, twins are one under several names."""
    return train.frame[subject].rank("dense").to_numpy() if KEPT_TOGETHER in train.frame.columns else train.groups


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


def _load(names: tuple[str, ...], modelling: Modelling) -> None:
    """Import what the candidates need, here and once: threads that import the same library wait for one another."""
    wanted = ["sklearn.model_selection", "sklearn.pipeline", "optuna"]
    kinds = [candidate_type(name, modelling) for name in names]
    wanted += [library for kind in kinds for library in kind.libraries]
    if not all(kind.reads_missing for kind in kinds):
        wanted += ["sklearn.impute", "sklearn.preprocessing", "sklearn.feature_selection"]
    if set(modelling.imbalance) & set(SAMPLERS):
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


def _judge(estimate: NestedEstimate, train: ModelInput, spec: CohortSpec) -> Evaluation:
    judged = evaluate(
        train.y,
        estimate.risk,
        decisions=spec.decisions,
        action_from=spec.target.action_from,
        groups=train.clusters,
        weights=train.weights,
        seed=spec.modelling.search.seed,
        leave_out=frozenset({"ici", "curves"}),
    )
    followed = everybody_at_risk(train, estimate.risk, estimate.censored_risk)
    return judged if followed is None else with_the_censored(judged, followed)


def _candidate(estimate: NestedEstimate, judged: Evaluation) -> CandidateResult:
    settings = tuple(
        {"outer_fold": tuned.outer_fold, "parameters": tuned.parameters, "imbalance": tuned.imbalance}
        for tuned in estimate.tuned
    )
    return CandidateResult(estimate.candidate, judged.metrics, judged.insufficient, settings)


def _counts(part: ModelInput, action_from: int) -> Counts:
    by_class = np.bincount(part.y, minlength=len(part.classes))
    return Counts(part.n, int(by_class[action_from:].sum()), tuple(int(count) for count in by_class))


def _attributes(table: TrainingTable, spec: CohortSpec, frame: pl.DataFrame) -> pl.DataFrame:
    columns: Mapping[str, str] = {name: table.protected_column(name) for name in spec.protected}
    return frame.select(**columns)


def _subgroups(
    table: TrainingTable,
    spec: CohortSpec,
    train: ModelInput,
    holdout: ModelInput,
    chosen: NestedEstimate,
    served: FloatArray,
    followed: FollowedRisks | None,
) -> tuple[SubgroupRow, ...]:
    if not spec.protected:
        return ()
    out_of_fold = everybody_at_risk(train, chosen.risk, chosen.censored_risk)
    samples: tuple[tuple[SampleKind, ModelInput, FloatArray, FollowedRisks | None], ...] = (
        ("holdout", holdout, served, followed),
        ("out_of_fold", train, chosen.risk, out_of_fold),
    )
    return tuple(
        row
        for sample, part, risk, everybody in samples
        for row in subgroup_rows(
            part.y,
            risk,
            _attributes(table, spec, part.frame),
            followed=everybody,
            censored=None if part.follow_up is None else _attributes(table, spec, part.follow_up.censored_frame),
            sample=sample,
            decisions=spec.decisions,
            action_from=spec.target.action_from,
            groups=part.clusters,
            weights=part.weights,
            seed=spec.modelling.search.seed,
        )
    )


def _all_scores(
    table: TrainingTable, train: ModelInput, estimates: Mapping[str, NestedEstimate], action_from: int
) -> pl.DataFrame:
    import polars as pl

    frames = [
        _scores(table, train, estimate.risk, action_from, estimate=estimate).select(
            pl.lit(name).alias("candidate"), pl.all()
        )
        for name, estimate in estimates.items()
    ]
    return pl.concat(frames)


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
