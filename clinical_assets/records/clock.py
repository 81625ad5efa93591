"""The time of records: UTC, to the microsecond, as text that sorts by time."""

from __future__ import annotations

import datetime as dt


def utc_now() -> str:
    """Now, as ISO 8601 in UTC with microseconds: ``2026-11-21T06:03:00.000000+00:00``."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


def parse(text: str) -> dt.datetime:
    """The moment that a record's time names.

    Raises
    ------
    ValueError
        When it is no time, or names no offset from UTC.
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no offset from UTC.")
    return moment.astimezone(dt.UTC)
