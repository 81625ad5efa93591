"""Nested cross-validation: an inner search finds a setting, an outer fold judges the whole procedure.

The procedure that is judged is the one that makes the final model: search by cross-validation inside the rows at hand,
map the out-of-fold scores of the best setting to calibrated risks, refit on those rows. A setting is scored after that
map, because class weights and SMOTE shift every risk on purpose and would lose by it otherwise.

Every trial is kept. The same description, rows and seed give the same trials, whatever the number of workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.decisions import Modelling
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search import candidates, recalibration
from clinical_assets.modelling.search.candidate_type import AnyCandidate, CandidateType, Parameters
from clinical_assets.modelling.search.inner_folds import InnerFolds, refuse_flat, seed_of, weights_of_fit
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.spaces import budget, space, start
from clinical_assets.modelling.survival.targets import followed_rows
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.row_losses import mean_auroc, mean_loss, proper_losses
from clinical_assets.modelling.table.splits import Fold, outer_folds

if TYPE_CHECKING:
    import polars as pl
    from sklearn.pipeline import Pipeline

FINAL = 0
"""Number that stands for "no outer fold": the search on all training rows."""

SearchProgress = Callable[[str, int, int], None]
"""Called with what was done, how many jobs are done and how many there are."""


@dataclass(frozen=True)
class Trial:
    """One setting tried inside one outer fold; `seconds` is not content and enters no digest."""

    candidate: str
    outer_fold: int
    trial: int
    imbalance: str
    parameters: Parameters
    inner_score: float
    fold_scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Searched:
    """The setting that a search found.

    Attributes
    ----------
    trials : tuple of Trial
        All settings, in the order tried.
    """

    candidate: str
    outer_fold: int
    parameters: Parameters
    imbalance: str
    inner_score: float
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Searched:
        """The setting of least score among all that a search tried; of equal ones the first tried."""
        best = min(trials, key=lambda trial: (trial.inner_score, trial.trial))
        return cls(best.candidate, best.outer_fold, best.parameters, best.imbalance, best.inner_score, tuple(trials))


@dataclass(frozen=True)
class Tuned(Searched):
    """What a search found, with what its best setting gave on the rows searched.

    Attributes
    ----------
    raw : array of shape (n,) or (n, k)
        Raw out-of-fold risks of the best setting.
    recalibration : Recalibration
        Fitted on them.
    """

    raw: FloatArray
    recalibration: Recalibration


@dataclass(frozen=True)
class NestedEstimate:
    """Out-of-fold scores of a candidate on all training rows.

    Attributes
    ----------
    raw : array of shape (n,) or (n, k), or None
        As the refitted pipelines give them; None where an earlier search of more than two classes did not keep them.
    risk : array of the same shape
        After each outer fold's own recalibration: what the procedure would have served.
    fold : array of shape (n,)
        Outer fold, 1 .. k, in which the row was judged.
    tuned : tuple of Searched
        What the search found inside each outer fold.
    censored_risk : array of shape (m,) or None
        As `risk`, of the censored that the rows carry; None where the outcome is no time to an event.
    """

    candidate: str
    raw: FloatArray | None
    risk: FloatArray
    fold: IntArray
    tuned: tuple[Searched, ...]
    censored_risk: FloatArray | None = None


def tune(
    name: str, data: ModelInput, *, modelling: Modelling, outer_fold: int = FINAL, fixed: Parameters | None = None
) -> Tuned:
    """Search a candidate's setting by cross-validation on the rows given.

    Parameters
    ----------
    name : str
        AnyCandidate.
    data : ModelInput
        The rows that may be seen.
    modelling : Modelling
        Search budget, imbalance strategies (one is chosen a trial) and criterion.
    outer_fold : int
        Enters the seeds and the trials.
    fixed : dict, optional
        Try this setting alone.

    Returns
    -------
    Tuned
        With the setting of least score: mean ranked probability score (Brier score) of the recalibrated
        out-of-fold risks, or 1 - AUROC where the criterion is ``auroc``. Of equal ones the first tried.

    Raises
    ------
    InsufficientData
        The rows cannot be split into the inner folds.
    """
    import optuna
    from optuna.samplers import TPESampler

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search, kind = modelling.search, candidate_type(name, modelling, data.feature_columns)
    trials = budget(kind, search.trials) if fixed is None else 1
    inner = InnerFolds(kind, data, search.seed, search.inner_folds, outer_fold)
    # Early draws are random; a third of the budget leaves the rest to the model of what worked.
    sampler = TPESampler(seed=seed_of(search.seed, name, outer_fold), n_startup_trials=max(2, trials // 3))
    study = optuna.create_study(sampler=sampler)
    strategies = candidates.strategies(kind, modelling.imbalance)
    if fixed is None:
        study.enqueue_trial(start(kind, data.n) | ({"imbalance": strategies[0]} if len(strategies) > 1 else {}))
    tried: list[Trial] = []
    best: tuple[float, FloatArray, Recalibration] | None = None
    for number in range(trials):
        begun = time.perf_counter()
        asked = study.ask()
        parameters = space(kind, asked, data.n) if fixed is None else fixed
        draws = len(strategies) > 1 and fixed is None
        imbalance = asked.suggest_categorical("imbalance", strategies) if draws else strategies[0]
        raw = inner.out_of_fold(parameters, imbalance)
        mapped = _recalibrated(kind, data, raw)
        risk = mapped.apply(raw)
        score = _score(data, risk, modelling.criterion)
        study.tell(asked, score)
        losses = proper_losses(data.y, risk)
        by_fold = tuple(mean_loss(losses, data.weights, rows=test) for _, test in inner.folds)
        seconds = time.perf_counter() - begun
        tried.append(Trial(name, outer_fold, number, imbalance, parameters, score, by_fold, seconds))
        if best is None or score < best[0]:
            best, winner = (score, raw, mapped), tried[-1]
    assert best is not None
    return Tuned(name, outer_fold, winner.parameters, winner.imbalance, best[0], tuple(tried), best[1], best[2])


def tuned_again(found: Searched, data: ModelInput, *, modelling: Modelling) -> Tuned:
    """What a search that was kept found, with the scores of its best setting computed again: equal to the bit.

    Parameters
    ----------
    found : Searched
        Of the same rows, description of the search and libraries.
    data : ModelInput
        The rows searched.
    modelling : Modelling
        Inner folds and seed.
    """
    search, kind = modelling.search, candidate_type(found.candidate, modelling, data.feature_columns)
    inner = InnerFolds(kind, data, search.seed, search.inner_folds, found.outer_fold)
    raw = inner.out_of_fold(found.parameters, found.imbalance)
    return Tuned(**vars(found), raw=raw, recalibration=_recalibrated(kind, data, raw))


def _recalibrated(kind: CandidateType, data: ModelInput, raw: FloatArray) -> Recalibration:
    return recalibration.fit(data.y, raw, data.weights) if kind.recalibrated else recalibration.IDENTITY


def nested(
    names: Sequence[str],
    data: ModelInput,
    *,
    modelling: Modelling,
    workers: int = 1,
    progress: SearchProgress | None = None,
    fixed: Parameters | None = None,
) -> dict[str, NestedEstimate]:
    """Judge candidates by nested cross-validation on the same outer folds.

    Parameters
    ----------
    names : sequence of str
        Candidates.
    data : ModelInput
        The training rows; the holdout is not among them.
    modelling : Modelling
        Criterion, imbalance strategies and search budget.
    workers : int
        AnyCandidate and outer fold pairs that run side by side. Boosters and forests leave Python's lock while they
        fit, so threads serve; linear models do not, and are small.
    progress : callable, optional
        Called with (what, done, total).
    fixed : dict, optional
        Do not search: use this setting in every fold.

    Raises
    ------
    InsufficientData
        The rows cannot be split into outer or inner folds with every class to learn from.
    """
    folds = outer_folds(data.y, data.groups, n_splits=modelling.search.outer_folds, seed=modelling.search.seed)

    def job(name: str, number: int) -> tuple[FloatArray, Tuned]:
        train, test = folds[number - 1]
        seen = data.rows(_mask(train, data.n))
        tuned = tune(name, seen, modelling=modelling, outer_fold=number, fixed=fixed)
        kind = candidate_type(name, modelling, data.feature_columns)
        pipeline = fit_setting(kind, tuned.parameters, tuned.imbalance, seen, seed=modelling.search.seed)
        unseen = np.concatenate([data.X[test], data.rows(_mask(test, data.n)).censored_X])
        return candidates.raw_risk(pipeline.predict_proba(unseen), floor=kind.floor), tuned

    ordered = sorted(dict.fromkeys(names), key=candidates.costliness)
    pairs = [(name, number) for name in ordered for number in range(1, len(folds) + 1)]
    results = side_by_side(pairs, job, workers=workers, progress=progress)
    return {name: _gather(name, data, folds, results) for name in dict.fromkeys(names)}


def fit_setting(
    candidate: AnyCandidate, parameters: Parameters, imbalance: str, data: ModelInput, *, seed: int
) -> Pipeline:
    """A candidate with one setting, fitted on rows with their case weights, or on all at risk with their times."""
    counts, kind = np.bincount(data.y), kind_of(candidate)
    pipeline = candidates.build(
        candidate,
        parameters,
        n_classes=counts.size,
        imbalance=imbalance,
        seed=seed,
        minority=int(counts[counts > 0].min()),
    )
    refuse_flat(data.X)
    if kind.timed:
        X, times, weights = followed_rows(data)
        return pipeline.fit(X, times, **({} if weights is None else {"model__sample_weight": weights}))
    weights = weights_of_fit(candidate, data, seed)
    return candidates.fit(pipeline, data.X, data.y, imbalance=imbalance, weights=weights)


def side_by_side(
    pairs: Sequence[tuple[str, int]],
    job: Callable[[str, int], Any],
    *,
    workers: int,
    progress: SearchProgress | None,
) -> dict[tuple[str, int], Any]:
    """Run jobs in threads and return their results by pair; the first error stops what has not begun."""
    from threadpoolctl import threadpool_limits

    results: dict[tuple[str, int], Any] = {}
    with ThreadPoolExecutor(workers, initializer=threadpool_limits, initargs=(1,)) as executor:
        futures = {executor.submit(job, *pair): pair for pair in pairs}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                pair = futures[future]
                results[pair] = future.result()
                if progress is not None:
                    progress(f"{pair[0]}, fold {pair[1]}", done, len(pairs))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def trials_frame(searches: Iterable[Searched]) -> pl.DataFrame:
    """Every trial of the searches as a row.

    Columns: candidate, outer_fold (0 is the final search), trial, imbalance, parameters (JSON), inner_score,
    fold_scores (list of proper scores), seconds.
    """
    import polars as pl

    rows = [
        {
            "candidate": trial.candidate,
            "outer_fold": trial.outer_fold,
            "trial": trial.trial,
            "imbalance": trial.imbalance,
            "parameters": json.dumps(trial.parameters, sort_keys=True),
            "inner_score": trial.inner_score,
            "fold_scores": list(trial.fold_scores),
            "seconds": trial.seconds,
        }
        for tuned in searches
        for trial in tuned.trials
    ]
    return pl.DataFrame(rows, schema_overrides={"outer_fold": pl.Int32, "trial": pl.Int32})


def _score(data: ModelInput, risk: FloatArray, criterion: str) -> float:
    if criterion == "auroc":
        return 1 - mean_auroc(data.y, risk, data.weights)
    return mean_loss(proper_losses(data.y, risk), data.weights)


def _gather(name: str, data: ModelInput, folds: list[Fold], results: dict[tuple[str, int], Any]) -> NestedEstimate:
    shape: Any = data.n if len(data.classes) == 2 else (data.n, len(data.classes))
    raw, risk, fold = np.empty(shape), np.empty(shape), np.empty(data.n, dtype=np.int64)
    tuned: list[Tuned] = []
    followed = data.follow_up
    censored = None if followed is None else np.empty(followed.carrier.size)
    for number, (_, test) in enumerate(folds, start=1):
        scores, found = results[name, number]
        served = found.recalibration.apply(scores)
        raw[test], risk[test], fold[test] = scores[: test.size], served[: test.size], number
        if followed is not None and censored is not None:
            censored[_mask(test, data.n)[followed.carrier]] = served[test.size :]
        tuned.append(found)
    return NestedEstimate(name, raw, risk, fold, tuple(tuned), censored)


def _mask(positions: IntArray, n: int) -> Any:
    mask = np.zeros(n, dtype=bool)
    mask[positions] = True
    return mask
