"""Everything that Dagster is told: the one place where assets, checks, jobs and resources meet."""

from __future__ import annotations

import warnings

import dagster as dg

# Partitioned checks and data versions per partition are what this platform stands on; their beta label is known.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from clinical_assets.assets import (  # noqa: E402
    cohort_checks,
    cohorts,
    features,
    micro_cohort_checks,
    micro_cohort_studies,
    micro_cohorts,
    models,
    monitoring,
    monitoring_checks,
    predictions,
    release,
    updates,
)
from clinical_assets.assets.resources import Platform  # noqa: E402
from clinical_assets.assets.tracking import MlflowTracking  # noqa: E402
from clinical_assets.automation.jobs import JOBS  # noqa: E402
from clinical_assets.automation.schedules import SCHEDULES  # noqa: E402
from clinical_assets.automation.sensors import SENSORS  # noqa: E402

defs = dg.Definitions(
    assets=[
        *dg.load_assets_from_modules(
            [cohorts, features, models, release, predictions, monitoring, updates, micro_cohorts, micro_cohort_studies]
        ),
        # Not made here, it only shows signatures; unless it is named, the graph does not know that it is partitioned.
        release.approval,
    ],
    asset_checks=[*cohort_checks.CHECKS, *release.GATE_CHECKS, *monitoring_checks.CHECKS, *micro_cohort_checks.CHECKS],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources={"platform": Platform(), "mlflow": MlflowTracking()},
    # One process a run: steps hand tables over through the warehouse, and a process of its own would cost each step
    # seconds of imports. Cohorts run side by side as runs.
    executor=dg.in_process_executor,
)
