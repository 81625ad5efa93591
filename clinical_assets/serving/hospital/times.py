"""Times of FHIR: a year, a month, a day or an instant, and what is known about when that was.

What belongs here: reading them, comparing them with a moment, ages. What does not: which value they belong to.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

_DAY = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True)
class TimeSpan:
    """Between which instants something was; both the same where that is known."""

    earliest: dt.datetime
    latest: dt.datetime

    def is_known_at(self, moment: dt.datetime, *, now: dt.datetime) -> bool:
        """Whether it certainly was at a moment or before.

        What is not known exactly counts with its latest instant; but nothing that was sent was after now.
        """
        return self.earliest <= moment and min(self.latest, now) <= moment


def read_time(text: str, zone: ZoneInfo) -> TimeSpan | None:
    """A FHIR ``date``, ``dateTime`` or ``instant``; None where it is none.

    Parameters
    ----------
    text : str
        As sent. A time of day has an offset; without one it is no FHIR dateTime.
    zone : ZoneInfo
        Where days begin.
    """
    found = _DAY.fullmatch(text)
    try:
        if found is None:
            instant = dt.datetime.fromisoformat(text)
            return None if instant.tzinfo is None else TimeSpan(instant, instant)
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        first = dt.datetime(year, month or 1, day or 1, tzinfo=zone)
        last_month = month or 12
        last_day = day or calendar.monthrange(year, last_month)[1]
        return TimeSpan(first, dt.datetime(year, last_month, last_day, 23, 59, 59, 999999, tzinfo=zone))
    except (ValueError, OverflowError):
        return None


def age_years(birth: TimeSpan, moment: dt.datetime) -> int | None:
    """Completed years; None where a date of birth without a day leaves two ages possible, or lies after the moment."""
    zone = birth.earliest.tzinfo
    day = moment.astimezone(zone).date()
    oldest, youngest = (_completed(end.date(), day) for end in (birth.earliest, birth.latest))
    return oldest if oldest == youngest and oldest >= 0 else None


def _completed(birth: dt.date, day: dt.date) -> int:
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
