"""How old an asset may be before the UI turns amber and red.

Dagster judges an asset as a whole: it is fresh when any cohort's partition was made in time. Each cohort's own
freshness is the check ``batch_is_fresh``.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

#: The weekly schedule reads sources again; a week may fail before anybody is called.
SOURCE = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=15), warn_window=timedelta(days=8))
#: The daily schedule runs for every cohort that has a champion; a week-end may pass.
DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=4), warn_window=timedelta(days=2))
