"""What an ablation found, and what it says in words: one of four conclusions with its evidence.

What belongs here: the shape of results, the rule of the conclusion and its sentences. What does not: computing the
numbers (``ablation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.study.designs import StudyData
from clinical_assets.pathways.study.protocols import HonestProtocol, Performance, StudyProtocol

LEVEL = 0.05
Conclusion = Literal["no signal to ablate", "features carried the signal", "data are redundant", "inconclusive"]


@dataclass(frozen=True)
class StudyAblation:
    """The study's ablation: one ranking, one retraining of the saved configuration.

    Attributes
    ----------
    before : StudyProtocol
    cross_validated, held_out : Performance (held_out None if the 20 % lack a class)
        After removal, same configuration, same split.
    removed : tuple of str
        Most important first.
    n_used : int
        How many of them the model used at all (importance above 0); the rest were drawn among the unused.
    """

    before: StudyProtocol
    cross_validated: Performance
    held_out: Performance | None
    removed: tuple[str, ...]
    n_used: int


@dataclass(frozen=True)
class HonestAblation:
    """Ablation inside the folds.

    Attributes
    ----------
    full : HonestProtocol
        Nothing removed.
    same_configuration : Performance
        Top features of the training subjects removed, their configuration retrained.
    new_sweep : Performance
        The same removal, the sweep run anew on what is left.
    random_removal : float64 array, shape (n_random,)
        Balanced accuracy after removing as many features at random, same configuration.
    p_value : float
        Of the null "the top features are like any others": (1 + #{random <= same configuration}) / (1 + n_random).
    often_removed : tuple of (str, float)
        Features and the share of training folds in which they were among the top.
    n_used : float
        Of the removed features, how many the model used at all (importance above 0); median over folds.
    """

    full: HonestProtocol
    same_configuration: Performance
    new_sweep: Performance
    random_removal: FloatArray
    p_value: float
    often_removed: tuple[tuple[str, float], ...]
    n_used: float


@dataclass(frozen=True)
class AblationResult:
    """Both ablations of a design and family.

    Attributes
    ----------
    design, family : str
    n_removed : int
    study : StudyAblation
    honest : HonestAblation
    conclusion : str
        One of ``no signal to ablate``, ``features carried the signal``, ``data are redundant``, ``inconclusive``.
    verdict : str
        The conclusion with its evidence, in words.
    n : int
        Subjects.
    synthetic : bool
    """

    design: str
    family: str
    n_removed: int
    study: StudyAblation
    honest: HonestAblation
    conclusion: Conclusion
    verdict: str
    n: int
    synthetic: bool


def conclude(honest: HonestAblation, n_removed: int, data: StudyData) -> tuple[Conclusion, str]:
    """The conclusion, and its evidence in words.

    Parameters
    ----------
    honest : HonestAblation
        Performance with and without the removed features, on subjects left out.
    n_removed : int
        Features removed.
    data : StudyData
        The data of the study, for the number of subjects.
    """
    full = honest.full.performance.balanced_accuracy
    same, anew = honest.same_configuration.balanced_accuracy, honest.new_sweep.balanced_accuracy
    low, high = np.quantile(honest.random_removal, [0.025, 0.975])
    numbers = (
        f"Left-out balanced accuracy {full.value:.2f} [{full.ci_low:.2f}, {full.ci_high:.2f}]; without the top "
        f"{n_removed} {same.value:.2f} [{same.ci_low:.2f}, {same.ci_high:.2f}], and {anew.value:.2f} "
        f"[{anew.ci_low:.2f}, {anew.ci_high:.2f}] after a new sweep; {n_removed} random features removed: "
        f"{honest.random_removal.mean():.2f} ({low:.2f} to {high:.2f}), p = {honest.p_value:.3f}; "
        f"of the {n_removed}, the model used {honest.n_used:g} (median over folds); {data.y.size} subjects."
    )
    carried = honest.p_value <= LEVEL
    conclusion: Conclusion
    if full.ci_low <= 0.5:
        conclusion = "no signal to ablate"
        words = (
            "The full model is not shown to be better than chance, so its ablation cannot say which features matter; "
            "a fall of the study's own number would be noise."
        )
    elif carried and anew.ci_low <= 0.5:
        conclusion = "features carried the signal"
        words = (
            f"Without its top {n_removed} features the model falls below what random removal explains, and a new sweep "
            "does not bring it back above chance: these features carried the signal in this cohort."
        )
    elif not carried and anew.ci_low > 0.5:
        conclusion = "data are redundant"
        words = (
            f"The model does as well without its top {n_removed} features as without any others, and stays above "
            "chance: the signal is spread over many features, and the ranking singles out none that is needed."
        )
    else:
        conclusion = "inconclusive"
        words = (
            "Removal hurts more than chance explains, but a new sweep recovers: other features can take over. "
            if carried
            else "The fall is within what random removal explains, yet what is left is not shown to beat chance. "
        ) + "This cohort is too small to decide."
    return conclusion, ("SYNTHETIC data. " if data.synthetic else "") + f"{words} {numbers}"
