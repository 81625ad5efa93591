"""One reason against a release, and what several of them wait for.

What belongs here: the words of reasons. What does not: finding them (``blockers``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: How the short form of a waiver that is lacking begins.
WAIVER = "waiver of "
# Said beside a signature that is lacking, to tell why one that was given does not count; and what ends by itself.
_WITH_WAITING = frozenset({"signature_expired", "other_dossier", "rolled_back", "plan_changed", "registry_unavailable"})


@dataclass(frozen=True)
class Blocker:
    """One reason against a release.

    Attributes
    ----------
    code : str
        Stable name, such as ``unsigned`` or ``gate_failed``.
    message : str
        What is wrong.
    cure : str
        What would end it.
    waits_for : str or None
        What a person has still to do, in short; None where something is wrong.
    """

    code: str
    message: str
    cure: str
    waits_for: str | None = None


def waits_for(found: Sequence[Blocker]) -> tuple[str, ...]:
    """What a release waits for, in short, where nothing is wrong with it; else nothing.

    Parameters
    ----------
    found : sequence of Blocker
        As `blockers` gives them.
    """
    if any(each.waits_for is None and each.code not in _WITH_WAITING for each in found):
        return ()
    return tuple(dict.fromkeys(each.waits_for for each in found if each.waits_for is not None))


def in_short(waits: Sequence[str]) -> str:
    """What `waits_for` gave, with waivers counted and not named."""
    waivers = sum(each.startswith(WAIVER) for each in waits)
    counted = [f"{waivers} waiver{'s' if waivers > 1 else ''}"] if waivers else []
    return ", ".join(counted + [each for each in waits if not each.startswith(WAIVER)])
