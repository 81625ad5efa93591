"""Counts of a running server, for ``/metrics`` and ``.../stats``: answers by tier, mean risk, latency.

What belongs here: counting since the server began. What does not: what must outlive it (the log). Of several processes
``/metrics`` has the sum, as prometheus_client makes it of files in a folder that a variable names; ``.../stats`` is of
the process that answers.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from clinical_assets.records.clock import utc_now
from clinical_assets.serving.predictions import LoggedAnswer

#: Folder in which the processes of one server keep their counts; prometheus_client reads it when it is imported.
SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
#: Latest answers from which the quantiles of the latency are taken.
_LATENCIES = 10_000
_BUCKETS = (0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class _Tally:
    since: str = field(default_factory=utc_now)
    records: int = 0
    alerts: int = 0
    risk: float = 0.0
    tiers: Counter[str] = field(default_factory=Counter)
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))


class ServingStatistics:
    """Counts of one process; threads may count at the same time."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self.registry = CollectorRegistry()
        names = ("cohort", "route", "status")
        self._requests = PrometheusCounter(
            "clinical_assets_api_requests", "Answers by cohort, route and status.", names, registry=self.registry
        )
        self._seconds = Histogram(
            "clinical_assets_api_seconds",
            "Seconds from a request to its answer.",
            ("cohort", "route"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._records = PrometheusCounter(
            "clinical_assets_api_predictions", "Records answered, by tier.", ("cohort", "tier"), registry=self.registry
        )

    def answered(self, *, cohort: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; `cohort` is one that is described, or empty."""
        self._requests.labels(cohort, route, str(status)).inc()
        self._seconds.labels(cohort, route).observe(seconds)

    def predicted(self, cohort: str, logged: LoggedAnswer, *, seconds: float) -> None:
        """Count the records of an answer."""
        with self._mutex:
            for digest in dict.fromkeys(unit.bundle.digest for unit in logged.units):
                self._tallies.setdefault((cohort, digest), _Tally()).latencies_s.append(seconds)
            for unit in logged.units:
                tally = self._tallies[(cohort, unit.bundle.digest)]
                tally.records += 1
                tally.alerts += unit.score.is_alert
                tally.risk += unit.score.risk
                tally.tiers[unit.score.tier] += 1
        for unit in logged.units:
            self._records.labels(cohort, unit.score.tier).inc()

    def of(self, cohort: str) -> list[dict[str, Any]]:
        """What was answered for a cohort, by model: plain values; a share or mean of nothing is None."""
        with self._mutex:
            return [_plain(digest, tally) for (name, digest), tally in self._tallies.items() if name == cohort]

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        if SHARED_COUNTS not in os.environ:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


def _plain(digest: str, tally: _Tally) -> dict[str, Any]:
    ordered = sorted(tally.latencies_s)
    return {
        "model": digest,
        "since": tally.since,
        "records": tally.records,
        "tiers": dict(tally.tiers),
        "alert_share": tally.alerts / tally.records if tally.records else None,
        "mean_risk": tally.risk / tally.records if tally.records else None,
        "latency_ms": {
            f"p{share}": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3)
            if ordered
            else None
            for share in (50, 95, 99)
        },
    }
