"""Follow-up that may end before the event: times, what ended them, and the horizon at which risks are judged.

What belongs here: the checked arrays that every module of this folder takes.
What does not: anything that estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, as_labels, as_vector, refuse_rows

CENSORED, EVENT, COMPETING = 0, 1, 2


@dataclass(frozen=True)
class CensoredOutcomes:
    """Follow-up of n people who are at risk when the prediction is made; made by `censored_outcomes`.

    Attributes
    ----------
    time : array of shape (n,)
        From the prediction to whatever ended the follow-up, above 0.
    event : array of shape (n,)
        What ended it: 0 censored, 1 the event, 2 a competing event, after which the event cannot come.
    horizon : float
        In the unit of `time`.
    """

    time: FloatArray
    event: IntArray
    horizon: float

    @property
    def n(self) -> int:
        """People, the censored included."""
        return int(self.time.size)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the outcome at the horizon is known (n,): all but the censored before it.

        Who is censored on the day of the horizon is known to be free of the event until then.
        """
        return np.asarray((self.event != CENSORED) | (self.time >= self.horizon))

    @property
    def outcome(self) -> IntArray:
        """1 where the event came by the horizon, 0 otherwise (n,); means something where it is `known`."""
        return np.asarray((self.event == EVENT) & (self.time <= self.horizon), dtype=np.int64)

    def people(self, chosen: NDArray[np.bool_]) -> CensoredOutcomes:
        """Those where `chosen` (n,) is true."""
        return CensoredOutcomes(self.time[chosen], self.event[chosen], self.horizon)


def censored_outcomes(time: ArrayLike, event: ArrayLike, *, horizon: float) -> CensoredOutcomes:
    """Checked follow-up.

    Parameters
    ----------
    time : array of shape (n,), above 0
        From the prediction to the end of follow-up.
    event : array of shape (n,)
        0 censored, 1 the event, 2 a competing event.
    horizon : float, above 0
        In the unit of `time`.

    Raises
    ------
    InvalidArray
        A time is not above 0, a code is another, shapes differ, or the horizon is not above 0.

    Examples
    --------
    The second person is censored before the horizon of five years; the third dies of something else:

    >>> people = censored_outcomes([2, 3, 4, 7], [1, 0, 2, 1], horizon=5)
    >>> people.known.tolist(), people.outcome.tolist()
    ([True, False, True, True], [1, 0, 0, 0])
    """
    times = as_vector(time, name="time")
    codes = as_labels(event, n_classes=3, name="event")
    if codes.size != times.size:
        raise InvalidArray(
            f"event has {codes.size} elements but time has {times.size}", cure="Pass one code per time, in order."
        )
    if (times <= 0).any():
        refuse_rows(times <= 0, name="time", what="not above 0", cure="Leave out who is not at risk at the prediction.")
    if not (np.isfinite(horizon) and horizon > 0):
        raise InvalidArray(f"horizon is {horizon}, expected a number above 0")
    return CensoredOutcomes(times, codes, float(horizon))
