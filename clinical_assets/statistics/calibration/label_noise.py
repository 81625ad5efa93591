"""How many outcome labels may be wrong? Estimated from out-of-fold risks, with overlap of the classes told apart.

Two patients who look alike may end differently: overlap is not noise. Estimators that count confident disagreements
between label and risk (confident learning) take the one for the other: on simulated cohorts without a single wrong
label and an AUROC of .71 they report about 16 % wrong labels, at .85 about 10 %. That number stands in the evidence,
because people know it, beside what it would be if every label followed the model's own risk; no verdict rests on it.

The verdict rests on contaminated logistic regression: P(label = 1) = e + (1 - 2 e) expit(a + b logit(risk)). Overlap
moves b, wrong labels put a floor e under the risk of the surest patients and a ceiling 1 - e over that of the most
endangered. The interval of e is that of the profile likelihood. Where the classes overlap much there are no sure
patients and the interval is wide: then the rows cannot tell noise from overlap, and the verdict says so.

What it cannot see: labels that are wrong in a way that follows the features (a whole site that codes the outcome
otherwise), and unequal rates of the two mistakes, of which e is the average.

Source: Copas 1988, doi 10.1111/j.2517-6161.1988.tb01723.x; confident learning: Northcutt et al. 2021, doi
10.1613/jair.1.12125.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import BoolArray, FloatArray, IntArray
from clinical_assets.statistics.calibration.logistic import expit, logit
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    from numpy.random import Generator

# 95 % point of chi-squared with one degree of freedom, halved.
_DROP = 1.9207
_GRID = np.round(np.arange(0.0, 0.4501, 0.005), 6)
# More rows are not looked at: the interval is narrow long before.
MOST_ROWS = 20_000
_LEAST_OF_A_CLASS = 10


def label_noise(y: IntArray, risk: FloatArray) -> Estimate:
    """Share of labels that are wrong, in [0, .45], with its profile likelihood interval.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Labels as recorded.
    risk : array of shape (n,), in (0, 1)
        Risks from models that did not see the row; they need not be calibrated.

    Raises
    ------
    InsufficientData
        A class has fewer than 10 rows, or the risks do not rank the classes at all, so that nothing can be told.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> risk = expit(random.uniform(-9, 9, 400))
    >>> truth = (random.random(400) < risk).astype(int)
    >>> told = np.where(np.arange(400) % 10 == 0, 1 - truth, truth)  # one label in ten is wrong
    >>> found = label_noise(told, risk)
    >>> found.ci_low < 0.1 < found.ci_high
    True
    """
    events = int(y.sum())
    if min(events, y.size - events) < _LEAST_OF_A_CLASS:
        raise InsufficientData(
            f"{events} events among {y.size} rows: at least {_LEAST_OF_A_CLASS} of each class are needed",
            cure="Widen the cohort or the horizon.",
        )
    kept = sample_of(y.size)
    labels, z = y[kept].astype(np.float64), logit(np.clip(risk[kept], 1e-6, 1 - 1e-6))
    profile = _profile(labels, z)
    best = int(np.argmin(profile))
    inside = np.flatnonzero(profile <= profile[best] + _DROP)
    low, high = float(_GRID[inside[0]]), float(_GRID[inside[-1]])
    if inside[-1] == _GRID.size - 1:
        raise InsufficientData(
            "the risks hardly rank the outcome, so wrong labels cannot be told from overlap of the classes at all",
            cure="Let people look at a random sample of labels.",
        )
    return Estimate(
        float(_GRID[best]), low, high, int(kept.size), int(labels.sum()), "contaminated logistic, profile likelihood"
    )


def confident_learning(y: IntArray, risk: FloatArray, *, seed: int, n_draws: int = 20) -> tuple[float, float]:
    """Share of labels that confident learning calls wrong, and what it calls so where none is: two numbers in [0, 1].

    The second is the mean over `n_draws` sets of labels drawn from the risks themselves.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> risk = expit(random.uniform(-9, 9, 400))
    >>> truth = (random.random(400) < risk).astype(int)
    >>> told = np.where(np.arange(400) % 10 == 0, 1 - truth, truth)  # one label in ten is wrong
    >>> called, by_chance = confident_learning(told, risk, seed=1)
    >>> called > by_chance > 0
    True
    """
    kept = sample_of(y.size)
    labels, p = y[kept], risk[kept]
    rng = np.random.default_rng(seed)
    null = [_issues(_both_classes(rng, p), p) for _ in range(n_draws)]
    return _issues(labels, p) / kept.size, float(np.mean(null)) / kept.size


def doubted_labels(y: IntArray, p: FloatArray) -> BoolArray:
    """Rows whose labels are the likeliest to be wrong, as many as there are at least: booleans (n,).

    Confident learning says which, by the probability of the recorded class; its count is not taken, because it counts
    overlap of the classes for noise. With more than two classes, in rising order, a wrong label crosses cuts between
    them: the lower ends of the intervals that `label_noise` gives for the cuts are added. A cut of which nothing can be
    told adds nothing, so that classes that overlap much are left alone.

    Parameters
    ----------
    y : array of shape (n,)
        Labels as recorded, 0 to k - 1.
    p : array of shape (n, k)
        Probabilities of the classes from models that did not see the row.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> risk = expit(random.uniform(-9, 9, 400))
    >>> truth = (random.random(400) < risk).astype(int)
    >>> told = np.where(np.arange(400) % 10 == 0, 1 - truth, truth)  # one label in ten is wrong
    >>> doubted = doubted_labels(told, np.column_stack([1 - risk, risk]))
    >>> bool((told != truth)[doubted].mean() > 0.9)
    True
    """
    from cleanlab.rank import get_label_quality_scores

    share = 0.0
    for cut in range(1, p.shape[1]):
        with suppress(InsufficientData):
            share += label_noise((y >= cut).astype(np.int64), p[:, cut:].sum(axis=1)).ci_low
    count = round(min(share, float(_GRID[-1])) * y.size)
    quality = get_label_quality_scores(labels=y, pred_probs=p, method="self_confidence")
    doubted = np.zeros(y.size, dtype=bool)
    doubted[np.argsort(quality, kind="stable")[:count]] = True
    return doubted


def sample_of(n: int) -> IntArray:
    """Positions of at most 20,000 of n rows, always the same ones.

    >>> sample_of(3).tolist()
    [0, 1, 2]
    """
    if n <= MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, size=MOST_ROWS, replace=False))


def _issues(labels: IntArray, p: FloatArray) -> int:
    from cleanlab.count import num_label_issues

    return int(num_label_issues(labels=labels, pred_probs=np.column_stack([1 - p, p])))


def _both_classes(rng: Generator, p: FloatArray) -> IntArray:
    """Labels drawn from risks; the likeliest event and non-event keep theirs, so that both classes occur."""
    drawn = (rng.random(p.size) < p).astype(np.int64)
    drawn[np.argmax(p)], drawn[np.argmin(p)] = 1, 0
    return drawn


def _profile(y: FloatArray, z: FloatArray) -> FloatArray:
    """Smallest negative log-likelihood at each share of wrong labels in the grid."""
    from scipy.optimize import minimize

    found = np.empty(_GRID.size)
    start = np.array([0.0, 1.0])
    for place, wrong in enumerate(_GRID):

        def objective(t: FloatArray, e: float = float(wrong)) -> tuple[float, FloatArray]:
            true = expit(t[0] + t[1] * z)
            q = np.clip(e + (1 - 2 * e) * true, 1e-12, 1 - 1e-12)
            slope = (q - y) / (q * (1 - q)) * (1 - 2 * e) * true * (1 - true)
            value = -float(y @ np.log(q) + (1 - y) @ np.log1p(-q))
            return value, np.array([slope.sum(), slope @ z])

        # Slopes beyond 50 no longer change the likelihood; without a bound separated classes would run away.
        done = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(-50, 50), (0, 50)])
        found[place], start = float(done.fun), done.x
    return found
