"""One error rate for all updates of a model: the level of each test while tests go on arriving.

What belongs here: how much of the error each next test may spend. What does not: the tests, and which updates count
(``governance.candidate.plan_history``).

Of K planned tests each owns alpha / K. A test that shows what it set out to show hands its level on to the next one,
because its hypothesis is then known to be false and can no longer be falsely rejected; one that does not show it has
spent it. This is the online fallback procedure with equal shares: it keeps the probability of any false rejection at
alpha, whatever the tests have in common (as those on one holdout do), and is never less powerful than Bonferroni's.

Source: Tian & Ramdas 2021, doi 10.1177/0962280220983381; for updates of a medical model, and what reuse of one
data set asks for: Feng et al. 2022, arXiv:2203.11377.
"""

from __future__ import annotations

from collections.abc import Sequence

from clinical_assets.statistics.inputs import InvalidArray, check_fraction


def spent_levels(shown: Sequence[bool], *, alpha: float = 0.05, planned: int = 10) -> tuple[float, ...]:
    """One-sided levels of all tests so far and of the next one.

    Parameters
    ----------
    shown : sequence of bool
        Of each earlier test in order: whether it showed what it set out to show, at its level.
    alpha : float in (0, 1)
        Error over the whole life.
    planned : int
        Tests that have a share of their own, at least 1. A later one has what the test before it handed on, or 0.

    Returns
    -------
    tuple of float
        One more than there are earlier tests; 0 means that nothing is left to test with.

    Raises
    ------
    InvalidArray
        ``planned`` is not positive.

    Examples
    --------
    Of two planned tests the first shows it and hands its half on; the third lives on what the second had:

    >>> spent_levels([True, True], alpha=0.05, planned=2)
    (0.025, 0.05, 0.05)
    >>> spent_levels([False, False], alpha=0.05, planned=2)
    (0.025, 0.025, 0.0)
    """
    if planned < 1:
        raise InvalidArray(f"planned is {planned}, expected at least 1")
    share = check_fraction(alpha, name="alpha") / planned
    levels: list[float] = []
    for number in range(len(shown) + 1):
        own = share if number < planned else 0.0
        levels.append(own + (levels[-1] if number and shown[number - 1] else 0.0))
    return tuple(levels)
