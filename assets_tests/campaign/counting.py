"""Trials and violations by kind, printed while they come, and a clock that ends a kind of trial in time."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random


@dataclass
class Count:
    """What was tried so far.

    Attributes
    ----------
    random : Random
        Drawn from by every trial; its seed is printed, so that a campaign can be repeated.
    """

    random: Random
    trials: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def trial(self, kind: str, act: Callable[[], str | None]) -> None:
        """Carry out one trial; it gives the violation in words, or None. A trial that breaks is a violation, too."""
        try:
            found = act()
        except Exception:  # noqa: BLE001 -- whatever a trial meets is counted, and the others go on
            found = traceback.format_exc(limit=-4)
        self.trials[kind] += 1
        if found is not None:
            self.violations.append(f"{kind}: {found}")
            print(f"VIOLATION {kind}: {found}", flush=True)  # noqa: T201

    def table(self) -> str:
        """Counts by kind."""
        lines = [f"{count:6d}  {kind}" for kind, count in sorted(self.trials.items())]
        return "\n".join([*lines, f"{sum(self.trials.values()):6d}  trials, {len(self.violations)} violations"])


@dataclass(frozen=True)
class Until:
    """A moment at which a kind of trial ends."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Until:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    def share(self, of: float) -> Until:
        """The moment at which a share of what is left from now is over."""
        return Until.after((self.at - time.monotonic()) * of)

    def __bool__(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.at
