"""The run launcher that ``dagster.yaml`` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from clinical_assets.dagster_private import (
    WatchedRunLauncher,
    has_own_code_server,
    instance_reference,
    runs_here,
)
from clinical_assets.launch.warm.pool import WarmPool
from clinical_assets.run_liveness import ask_to_stop, end_gone


class WarmRunLauncher(WatchedRunLauncher):
    """Runs in warm processes below the one that launches: the daemon, or the web server where runs do not queue.

    A run costs what its steps cost; the first of a process pays for the imports. Everything else is as with
    `WatchedRunLauncher`, which is the way back: one process per run through the code server. It takes over where the
    code cannot be loaded here, such as from a code server on another machine.
    """

    def __init__(
        self,
        inst_data: Any = None,
        *,
        kept_workers: int = 2,
        idle_seconds: int = 600,
        runs_per_worker: int = 200,
        worker_megabytes: int = 2000,
    ) -> None:
        super().__init__(inst_data)
        self._pool = WarmPool(
            lost=self._lost,
            kept=kept_workers,
            idle_s=idle_seconds,
            most_runs=runs_per_worker,
            most_megabytes=worker_megabytes,
        )

    @classmethod
    def config_type(cls) -> Any:
        """How many processes stay, and how long."""
        return {
            "kept_workers": dg.Field(dg.IntSource, is_required=False),
            "idle_seconds": dg.Field(dg.IntSource, is_required=False),
            "runs_per_worker": dg.Field(dg.IntSource, is_required=False),
            "worker_megabytes": dg.Field(dg.IntSource, is_required=False),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> WarmRunLauncher:
        """Build the launcher from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: Any) -> None:
        """Hand the run to a warm process."""
        run = context.dagster_run
        if runs_here(run):
            self._pool.run(run.run_id, instance_reference(self._instance))
        else:
            super().launch_run(context)

    def wait_until_one_is_free(self, seconds: float) -> None:
        """Wait until a process has ended a run since the last call, but no longer than so many seconds."""
        self._pool.freed.wait(seconds)
        self._pool.freed.clear()

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to cancel it; works for runs of the command line, too."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if has_own_code_server(run):
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's is not typed
        self._instance.report_run_canceling(run)
        ask_to_stop(self._instance, run_id)
        return True

    def join(self, timeout: int = 30) -> None:
        """Nothing to wait for: runs outlive whoever launched them."""

    def dispose(self) -> None:
        """Let the processes end, each after its run."""
        self._pool.close()
        super().dispose()

    def _lost(self, run_id: str) -> None:
        end_gone(self._instance, run_id)
