"""What is done after runs whose process was killed: MLflow runs closed, half-written files removed.

What belongs here: cleaning up, wherever somebody found such runs. What does not: finding and ending them
(``run_liveness``).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from clinical_assets.defs.resources import PARTITION
from clinical_assets.defs.shared.mlflow_tracking import RUN_TAG, close_stale
from clinical_assets.foundation.scratch_folder import sweep_below
from clinical_assets.foundation.settings import Settings


def clean_up_after(instance: dg.DagsterInstance, settings: Settings, runs: Iterable[dg.DagsterRun]) -> None:
    """Close in MLflow what the killed processes of runs left open, and remove what they left half written."""
    ended = list(runs)
    for cohort in sorted({run.tags[PARTITION] for run in ended if PARTITION in run.tags and RUN_TAG in run.tags}):
        close_stale(instance, settings, cohort)
    if ended:
        sweep_below(settings.data)
