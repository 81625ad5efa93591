"""Lives of a change control plan in simulation: updates that lose a little each, and updates that are all inferior.

    python benchmarks/plan_lives.py [--lives 10000] [--seed 0]

Scores are binormal: of a record with outcome y model k has d_k y + e, where d_k gives its AUROC, and the noise of two
models correlates by `CORRELATION`. An update passes where the lower end of the paired DeLong interval, at the level
that ``spent_levels`` leaves, lies above minus the margin: what the performance gate asks of ``authorised_auroc``.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from clinical_assets.foundation.types import BoolArray, FloatArray, IntArray
from clinical_assets.statistics.discrimination.discrimination import compare_auroc
from clinical_assets.statistics.trials.error_spending import spent_levels

AUROC, MARGIN, PREVALENCE, CORRELATION, UPDATES, ALPHA = 0.8, 0.02, 0.3, 0.97, 10, 0.05
_Z = NormalDist().inv_cdf


@dataclass(frozen=True)
class Stopped:
    """Of each life the number of the update that was stopped, one more than there are where none was."""

    authorised: IntArray
    champion: IntArray


def distance(auroc: float) -> float:
    """How far apart the scores of both outcomes lie, in their standard deviations."""
    return math.sqrt(2) * _Z(auroc)


def silent_losses(*, lives: int, n: int, seed: int, loss: float = 0.005) -> Stopped:
    """Each update loses `loss` against the one before; judged against the authorised one, and against that one alone.

    Against the one before (the champion) each is judged as ``non_inferiority_auroc`` is: with a 95 % interval.
    """
    rng = np.random.default_rng(seed)
    authorised, champion = np.full(lives, UPDATES + 1), np.full(lives, UPDATES + 1)
    for life in range(lives):
        y, noise = _holdout(rng, n)
        scores = [distance(AUROC) * y + noise]
        shown: list[bool] = []
        for number in range(1, UPDATES + 1):
            scores.append(_score(rng, y, noise, AUROC - number * loss))
            level = spent_levels(shown, alpha=ALPHA, planned=UPDATES)[-1]
            shown.append(_passes(y, scores[-1], scores[0], level))
            if not shown[-1] and authorised[life] > UPDATES:
                authorised[life] = number
            if champion[life] > UPDATES and not _passes(y, scores[-1], scores[-2], 0.025):
                champion[life] = number
            if max(authorised[life], champion[life]) <= UPDATES:
                break
    return Stopped(authorised, champion)


def wrongly_passed(
    *, lives: int, n: int, same_rows: bool, seed: int, planned: int = UPDATES, each_alone: bool = False
) -> BoolArray:
    """Whether any of ten updates was passed that all lie on the margin; on new rows for each, or always on the same.

    With `each_alone` every update is tested at the whole error rate.
    """
    rng = np.random.default_rng(seed)
    wrong = np.zeros(lives, dtype=bool)
    for life in range(lives):
        y, noise = _holdout(rng, n)
        shown: list[bool] = []
        for _ in range(UPDATES):
            if not same_rows:
                y, noise = _holdout(rng, n)
            level = ALPHA if each_alone else spent_levels(shown, alpha=ALPHA, planned=planned)[-1]
            candidate = _score(rng, y, noise, AUROC - MARGIN)
            shown.append(_passes(y, candidate, distance(AUROC) * y + noise, level))
            if shown[-1]:
                wrong[life] = True
                break
    return wrong


def _holdout(rng: np.random.Generator, n: int) -> tuple[IntArray, FloatArray]:
    return (rng.random(n) < PREVALENCE).astype(np.int64), rng.standard_normal(n)


def _score(rng: np.random.Generator, y: IntArray, noise: FloatArray, auroc: float) -> FloatArray:
    own = rng.standard_normal(y.size)
    mixed: FloatArray = CORRELATION * noise + math.sqrt(1 - CORRELATION**2) * own
    return distance(auroc) * y + mixed


def _passes(y: IntArray, candidate: FloatArray, other: FloatArray, level: float) -> bool:
    if not level:
        return False
    return compare_auroc(y, candidate, other, level=1 - 2 * level, reference="t").difference.ci_low >= -MARGIN


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.process_time()
    print(f"{UPDATES} updates that all lie on the margin of {MARGIN}, 1,000 rows, {asked.lives} lives: any passed in")
    for same, words in ((False, "new rows for each update"), (True, "always the same rows")):
        wrong = wrongly_passed(lives=asked.lives, n=1000, same_rows=same, seed=asked.seed).mean()
        error = math.sqrt(wrong * (1 - wrong) / asked.lives)
        print(f"  {wrong:.2%} (standard error {error:.2%}), {words}")
    alone = wrongly_passed(lives=asked.lives // 10, n=1000, same_rows=False, seed=asked.seed, each_alone=True).mean()
    print(f"  {alone:.1%} where each is tested at {ALPHA:.0%} as if it were the only one, new rows for each")
    lives = asked.lives // 10
    print(f"ten updates that lose .005 each, {lives} lives; stopped by the fifth, and not at all:")
    for n in (1000, 3000, 10_000):
        found = silent_losses(lives=lives, n=n, seed=asked.seed + 1)
        print(
            f"  n = {n:>6,}: against the authorised version {(found.authorised <= 5).mean():.1%}, "
            f"{(found.authorised > UPDATES).mean():.1%} (median update {np.median(found.authorised):.0f}); against the "
            f"champion alone {(found.champion <= 5).mean():.1%}, {(found.champion > UPDATES).mean():.1%}"
        )
    print(f"{time.process_time() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
