"""How often a caller may ask, and how often somebody who is not known may try.

What belongs here: limits in memory, per process. What does not: the size of a request (``web.guards``).
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, parse
from limits.errors import ConfigurationError
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from clinical_assets.foundation.errors import ClinicalAssetsError

RATE, TRIES = "600/minute", "20/minute"


class TooManyRequests(ClinicalAssetsError):
    """A caller that asks too often.

    Attributes
    ----------
    retry_after_s : int
        Seconds after which it may ask again.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many requests.", cure=f"Ask again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return (TooManyRequests, (self.retry_after_s,))


class BadRate(ClinicalAssetsError):
    """A limit that cannot be read."""


class Rates:
    """Limits of one process.

    Parameters
    ----------
    rate : str
        Requests of one caller, such as ``600/minute``.
    tries : str
        Refused attempts from one address.

    Raises
    ------
    BadRate
        A text is no rate.
    """

    def __init__(self, rate: str = RATE, tries: str = TRIES) -> None:
        self._rate, self._tries = _parsed(rate), _parsed(tries)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, key: str) -> None:
        """Count a request of a caller.

        Raises
        ------
        TooManyRequests
            It has asked as often as it may.
        """
        self._hit(self._rate, "caller", key)

    def refuse_busy(self, address: str) -> None:
        """Refuse an address from which too many attempts were refused, before anything is compared; errors as above."""
        if not self._limiter.test(self._tries, "tries", address):
            raise self._too_many(self._tries, "tries", address)

    def count_refusal(self, address: str) -> None:
        """Count a refused attempt from an address."""
        self._limiter.hit(self._tries, "tries", address)

    def _hit(self, item: RateLimitItem, *names: str) -> None:
        if not self._limiter.hit(item, *names):
            raise self._too_many(item, *names)

    def _too_many(self, item: RateLimitItem, *names: str) -> TooManyRequests:
        ends = self._limiter.get_window_stats(item, *names).reset_time
        return TooManyRequests(max(1, math.ceil(ends - time.time())))


def _parsed(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except (ValueError, ConfigurationError):
        raise BadRate(f"{text!r} is no rate.", cure="Write it as 600/minute or 10/second.") from None
