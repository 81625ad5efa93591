"""Metrics of the platform for Prometheus: state is read when somebody asks, at most every few seconds.

What belongs here: when something is read again, what is shown when it cannot be, and serving it. What does not: what
is read (``cohort_readings``, ``platform_readings``) and what it is called (``metrics``).

What did not change is not read again: files are known by time and size, the ledger by its newest entry. A warehouse
that a run is writing cannot be read; its last values stay, and ``scrape_skipped_cohorts`` counts it. Anything else
that cannot be read is absent, and ``scrape_errors`` counts it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import Busy
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.trainings import trainings
from clinical_assets.monitoring import report_store
from clinical_assets.observability.metrics import cohort_readings as cohort
from clinical_assets.observability.metrics import platform_readings as platform
from clinical_assets.observability.metrics.descriptions import Descriptions, stamp
from clinical_assets.observability.metrics.metrics import OTHER, PARTS, MetricSample, families, sample
from clinical_assets.observability.metrics.platform_readings import LedgerTally, LedgerWatch, RunCounts
from clinical_assets.records.database import RecordsDatabase

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily


HOST, PORT = "127.0.0.1", 9464
CACHE_S = 5.0
_GATES_AGAIN_S = 600
_log = logging.getLogger(__name__)


class ExporterError(ClinicalAssetsError):
    """An address that metrics must not, or cannot, be served at."""


class PlatformCollector:
    """A Prometheus collector over one data folder; threads may ask at the same time.

    Parameters
    ----------
    settings : Settings
        Where state lies.
    run_counts : callable, optional
        Runs by job and state.
    jobs : sequence of str
        Names that the label ``dagster_job`` may hold.
    watch : LedgerWatch, optional
        Who verifies the ledger; without, nothing is said about it being intact.
    cache_s : float
        Seconds for which a reading is given again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        run_counts: RunCounts | None = None,
        jobs: Sequence[str] = (),
        watch: LedgerWatch | None = None,
        cache_s: float = CACHE_S,
    ) -> None:
        self._settings, self._run_counts, self._jobs = settings, run_counts, tuple(jobs)
        self._watch, self._cache_s = watch, cache_s
        self._records = RecordsDatabase(settings)
        self._tally = LedgerTally(self._records)
        self._descriptions = Descriptions()
        # What was read last, by part and cohort, with the mark by which a change is seen.
        self._kept: dict[tuple[str, str], tuple[Any, list[MetricSample]]] = {}
        self._mutex = threading.Lock()
        self._read_at: float | None = None
        self._families: list[GaugeMetricFamily] = []
        self._skipped = 0
        self._was_busy = False
        self._errors: Counter[str] = Counter()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering must not read state."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics, from the last reading if that is young enough."""
        with self._mutex:
            if self._read_at is None or time.monotonic() - self._read_at >= self._cache_s:
                self._families = families(self._read())
                self._read_at = time.monotonic()
            made = self._families
        yield from made

    def _read(self) -> list[MetricSample]:
        started = time.perf_counter()
        self._skipped, self._errors = 0, Counter()
        made: list[MetricSample] = []
        catalogue = Catalogue(folders=())
        with self._guarded("catalogue"):
            catalogue = Catalogue.from_settings(self._settings)
        names = catalogue.entries
        with self._guarded("ledger"):
            if self._records.exists:
                self._tally.refresh()
                made += self._tally.samples(names)
        if self._watch is not None:
            made += self._watch.samples()
        for name in names:
            made += self._cohort(catalogue, name)
        made += self._inboxes(set(names))
        with self._guarded("evidence"):
            made += platform.evidence(self._settings)
        with self._guarded("runs"):
            if self._run_counts is not None:
                made += platform.runs(self._run_counts(), self._jobs)
        made += sample("scrape_skipped_cohorts", self._skipped)
        for part in PARTS:
            made += sample("scrape_errors", self._errors[part], part)
        return made + sample("scrape_duration_seconds", time.perf_counter() - started)

    def _cohort(self, catalogue: Catalogue, name: str) -> list[MetricSample]:
        settings = self._settings
        file = settings.warehouse / f"{name}.duckdb"
        pointer = stamp(champion_pointer.serving_folder(settings, name) / champion_pointer.POINTER)
        written = stamp(file)
        if pointer is None and written is None:
            return []
        made: list[MetricSample] = []
        champion: Champion | None = None
        with self._guarded("champion"):
            champion = champion_pointer.current(settings, name)
        digest = champion.digest if champion is not None else None
        if champion is not None:
            serving = champion
            made += self._once("champion", name, champion, lambda: cohort.served(serving))
        with self._guarded("catalogue"):
            spec = self._descriptions.of(catalogue, name, settings)
            made += cohort.described(spec)
            if written is not None:
                mark = (written, stamp(file.with_name(f"{file.name}.wal")), digest, spec.decisions.tiers)
                made += self._once("warehouse", name, mark, lambda: cohort.volumes(settings, spec, champion))
        for report in report_store.NAMES:
            kept = stamp(report_store.folder_of(settings, name) / report / "latest.json")
            if kept is not None:
                read = partial(cohort.report, settings, name, report, champion)
                made += self._once("reports", f"{name}/{report}", (kept, digest), read)
        return made + self._gates(name)

    def _gates(self, name: str) -> list[MetricSample]:
        newest = stamp(trainings.models_folder(self._settings, name) / "latest.json")
        entered = self._tally.newest(name, "gate_verdict")
        if newest is None or entered is None:
            return []

        def read() -> list[MetricSample]:
            latest = trainings.latest_pointer(self._settings, name)
            if latest is None or latest.training is None:
                return []
            digest = trainings.latest(self._settings, name).results.bundle_digest
            return cohort.gates(self._records, name, digest)

        # Verdicts are held against the ledger when they are read; what was read once may be changed afterwards.
        return self._once("gates", name, (newest, entered, int(time.monotonic() // _GATES_AGAIN_S)), read)

    def _inboxes(self, names: set[str]) -> list[MetricSample]:
        made: list[MetricSample] = []
        with self._guarded("inbox"):
            if self._settings.inbox.is_dir():
                for folder in sorted(each.name for each in self._settings.inbox.iterdir() if each.is_dir()):
                    made += cohort.waiting(self._settings, folder, label=folder if folder in names else OTHER)
        oldest = [each for each in made if each.name == "inbox_oldest_timestamp_seconds"]
        others = [each for each in oldest if each.labels == (OTHER,)]
        if len(others) > 1:  # counts of unknown folders add up, moments do not
            first = min(each.value for each in others)
            made = [each for each in made if each not in others]
            made += sample("inbox_oldest_timestamp_seconds", first, OTHER)
        return made

    def _once(self, part: str, key: str, mark: object, read: Callable[[], list[MetricSample]]) -> list[MetricSample]:
        """What was read for this mark; read now if the mark is new."""
        kept = self._kept.get((part, key))
        if kept is not None and kept[0] == mark:
            return kept[1]
        with self._guarded(part, busy=True):
            found = read()
            self._kept[part, key] = (mark, found)
            return found
        if self._was_busy and kept is not None:
            return kept[1]
        self._kept.pop((part, key), None)
        return []

    @contextlib.contextmanager
    def _guarded(self, part: str, *, busy: bool = False) -> Iterator[None]:
        """Count what cannot be read, and go on: one broken file must not blind whoever watches the others."""
        import duckdb
        from sqlalchemy.exc import SQLAlchemyError

        self._was_busy = False
        try:
            yield
        except (ClinicalAssetsError, OSError, ValueError, KeyError, TypeError, duckdb.Error, SQLAlchemyError) as error:
            if busy and isinstance(error.__cause__, Busy):
                self._was_busy = True
                self._skipped += 1
                return
            self._errors[part] += 1
            words = error.message if isinstance(error, ClinicalAssetsError) else type(error).__name__
            _log.warning("Metrics of part %s could not be read: %s", part, words)


def registry_of(collector: PlatformCollector) -> CollectorRegistry:
    """A registry of its own, so that nothing else in the process is shown."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def text_of(collector: PlatformCollector) -> str:
    """All metrics in Prometheus' text format."""
    from prometheus_client import generate_latest

    return generate_latest(registry_of(collector)).decode()


def serve(collector: PlatformCollector, *, host: str = HOST, port: int = PORT) -> tuple[WSGIServer, threading.Thread]:
    """Serve metrics at ``http://<host>:<port>/metrics`` in a thread; shut the server down to end it.

    Raises
    ------
    ExporterError
        The host is not this machine alone, or the port is taken.
    """
    from prometheus_client import start_http_server

    refuse_open(host)
    try:
        return start_http_server(port, addr=host, registry=registry_of(collector))
    except OSError as error:
        raise ExporterError(
            f"Metrics cannot be served at {host}:{port}: {error.strerror}.", cure="Choose another one with --port."
        ) from error


def refuse_open(host: str) -> None:
    """Refuse an address that other machines could reach: metrics have no login.

    Raises
    ------
    ExporterError
        It is not a loopback address.
    """
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise ExporterError(
        f"Metrics would be open to other machines at {host}: they have no login of their own.",
        cure=f"Serve them at {HOST} and let a proxy that knows who asks (TLS, password) pass them on.",
    )
