"""How one cohort's run goes on and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepState:
    """Where a run is: step name, and whether it goes on, is done or failed."""

    step: str
    state: str


@dataclass(frozen=True)
class CheckFailure:
    """A check that did not hold."""

    asset: str
    check: str
    severity: str
    description: str


@dataclass(frozen=True)
class CohortRun:
    """How one cohort's run ended.

    Attributes
    ----------
    canceled : bool
        Whether it was stopped by a signal to this process.
    begun : bool
        Whether there was a run at all; after a signal nothing new is begun.
    unchanged : bool
        Whether there was nothing to do, and therefore no run.
    reasons : tuple of str
        Why what was made had to be made, ``asset: what changed``; empty where everything was asked for.
    """

    cohort: str
    run_id: str
    success: bool
    seconds: float
    error: str | None
    failed_step: str | None
    checks: tuple[CheckFailure, ...]
    canceled: bool = False
    begun: bool = True
    unchanged: bool = False
    reasons: tuple[str, ...] = ()


RunProgress = Callable[[str, tuple[StepState, ...]], None]
RunEnded = Callable[[CohortRun], None]


def failed(cohort: str, run_id: str, seconds: float, error: str | None, *, canceled: bool = False) -> CohortRun:
    """A run that ended outside of its steps."""
    return CohortRun(
        cohort=cohort,
        run_id=run_id,
        success=False,
        seconds=seconds,
        error=error,
        failed_step=None,
        checks=(),
        canceled=canceled,
    )


def unchanged(cohort: str, seconds: float, standing: tuple[str, ...] = ()) -> CohortRun:
    """No run: everything would come out as it is, a failed check that stands included."""
    cure = "  Cure: what it counted stands in its last run; --force looks again."
    return CohortRun(
        cohort=cohort,
        run_id="",
        success=not standing,
        seconds=seconds,
        error="\n".join([*standing, cure]) if standing else None,
        failed_step=None,
        checks=(),
        begun=False,
        unchanged=True,
    )


def not_begun(cohort: str) -> CohortRun:
    """No run: a signal came first."""
    return CohortRun(
        cohort=cohort,
        run_id="",
        success=False,
        seconds=0.0,
        error=None,
        failed_step=None,
        checks=(),
        canceled=True,
        begun=False,
    )
