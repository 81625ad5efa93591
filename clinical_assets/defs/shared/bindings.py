"""The resources and the executor of every run."""

import dagster as dg

from clinical_assets.defs.resources import platform
from clinical_assets.defs.shared.mlflow_tracking import MlflowTracking


@dg.definitions
def bindings() -> dg.Definitions:
    """One platform for assets, checks, sensors and schedules; MLflow; one process per run.

    Steps hand tables over through the warehouse, and a process of its own would cost each step seconds of imports.
    Cohorts run side by side as runs.
    """
    return dg.Definitions(
        resources={"platform": platform(), "mlflow": MlflowTracking()}, executor=dg.in_process_executor
    )
