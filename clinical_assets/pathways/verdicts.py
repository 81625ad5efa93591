"""What an ablation says, in words: one of four conclusions with its evidence.

What belongs here: the rule and its sentences. What does not: the numbers it looks at (``ablation``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from clinical_assets.pathways.designs import StudyData

if TYPE_CHECKING:
    from clinical_assets.pathways.ablation import HonestAblation

Conclusion = Literal["no signal to ablate", "features carried the signal", "data are redundant", "inconclusive"]
LEVEL = 0.05


def conclude(honest: HonestAblation, n_removed: int, data: StudyData) -> tuple[Conclusion, str]:
    """The conclusion, and its evidence in words.

    Parameters
    ----------
    honest : HonestAblation
    n_removed : int
    data : StudyData
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
