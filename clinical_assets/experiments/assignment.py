"""Which arm answers for a unit: sticky, from a keyed hash, the same in every process without asking a database.

What belongs here: the hash. What does not: whether an experiment goes on (``register``).

u = first 64 bits of HMAC-SHA256(salt, unit) / 2^64; the challenger answers where u < share. Raising the share only adds
units, so that nobody whom the challenger answered for goes back.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

TrialArm = Literal["champion", "challenger"]
CHAMPION_ARM: TrialArm = "champion"
CHALLENGER_ARM: TrialArm = "challenger"


def place_of(unit: str, salt: str) -> float:
    """Where a unit lies, in [0, 1), evenly spread.

    Parameters
    ----------
    unit : str
        Pseudonym of a patient or site, or id of a caller's key.
    salt : str
        Of the experiment, hexadecimal: another experiment has another order of units.

    Examples
    --------
    >>> place_of("s1_0a", "00") == place_of("s1_0a", "00") != place_of("s1_0b", "00")
    True
    >>> round(sum(place_of(str(n), "00") < 0.25 for n in range(4000)) / 4000, 1)
    0.2
    """
    digest = hmac.digest(bytes.fromhex(salt), unit.encode(), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") / 2.0**64


def arm_of(unit: str, *, salt: str, share: float) -> TrialArm:
    """Which arm answers.

    Examples
    --------
    >>> arm_of("s1_0a", salt="00", share=0.0), arm_of("s1_0a", salt="00", share=1.0)
    ('champion', 'challenger')
    """
    return CHALLENGER_ARM if place_of(unit, salt) < share else CHAMPION_ARM
