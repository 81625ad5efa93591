"""Promotions and rollbacks killed at any moment: the old or the new champion serves, and all evidence fits."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Literal

from assets_tests.campaign.counting import Count, Until
from assets_tests.campaign.insider import seen
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT, opened
from clinical_assets.governance.promotion import promotion
from clinical_assets.modelling.champion import champion_pointer

Kind = Literal["promotion", "rollback"]
KINDS: tuple[Kind, ...] = ("promotion", "rollback")
_LONGEST_S = 180.0


def _change(folder: str, kind: Kind) -> None:
    """What the killed process does."""
    made = Releasable(opened(Path(folder)))
    if kind == "promotion":
        made.promote()
    else:
        promotion.rollback(made.settings, COHORT, actor="ann", reason="A try.")


def _ready(served: Releasable, folder: Path, kind: Kind) -> Releasable:
    made = served.copy_to(folder)
    if kind == "promotion":
        promotion.rollback(made.settings, COHORT, actor="ann", reason="A try.")
        made.approve()
    return made


def _seconds(folder: Path, kind: Kind, *, kill_after: float | None) -> float:
    began = time.monotonic()
    process = multiprocessing.get_context("spawn").Process(target=_change, args=(str(folder), kind))
    process.start()
    process.join(_LONGEST_S if kill_after is None else kill_after)
    process.kill()
    process.join()
    if kill_after is None:
        assert process.exitcode == 0, f"a {kind} that nobody killed ends with {process.exitcode}"
    return time.monotonic() - began


def kill_changes(count: Count, served: Releasable, folder: Path, ends: Until) -> None:
    """One kill for each kind at least, each on a copy of its own."""
    whole: dict[Kind, float] = {}
    for kind in KINDS:
        _ready(served, folder / kind, kind)
        whole[kind] = _seconds(folder / kind, kind, kill_after=None)
    number = 0
    while number < len(KINDS) or ends:
        kind, place = KINDS[number % len(KINDS)], folder / str(number)
        number += 1

        def trial(kind: Kind = kind, place: Path = place) -> str | None:
            made = _ready(served, place, kind)
            before = champion_pointer.current(made.settings, COHORT)
            assert before is not None
            # Most of a process's time is its start; the change itself lies in the second half.
            after_s = count.random.uniform(0.3, 1.0) * whole[kind]
            _seconds(place, kind, kill_after=after_s)
            # As whatever comes next does.
            promotion.recover(made.settings, COHORT)
            after = champion_pointer.current(made.settings, COHORT)
            if after is None or (after != before and after.digest == before.digest):
                return f"neither the old nor the new champion after a kill after {after_s:.2f} s"
            return f"evidence does not fit after a kill after {after_s:.2f} s" if seen(made) else None

        count.trial(f"kills of a {kind}", trial)
        shutil.rmtree(place)
