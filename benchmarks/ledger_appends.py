"""Entries a second that several processes add to one audit ledger, each committed and anchored, then verified.

Synthetic entries. SQLite in a temporary folder; PostgreSQL too when CLINICAL_ASSETS_TEST_POSTGRES names a server, in a
schema that is removed afterwards. Usage: python benchmarks/ledger_appends.py [--entries 10000] [--processes 4]
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import tempfile
import time
import uuid
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

POSTGRES = "CLINICAL_ASSETS_TEST_POSTGRES"


def append(settings: Settings, name: str, entries: int, start: Barrier) -> None:
    """What one process does: wait for the others, then append."""
    ledger = Ledger(RecordsDatabase(settings))
    try:
        ledger.newest(1)  # opened before the clock starts
    except BaseException:
        start.abort()
        raise
    start.wait()
    for number in range(entries):
        ledger.append("batch", actor=name, cohort="benchmark", facts={"number": number, "rows": 1000})


def measure(settings: Settings, label: str, *, entries: int, processes: int) -> None:
    """Append from all processes at once, then check that it is one intact chain."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    shares = [entries // processes + (i < entries % processes) for i in range(processes)]
    workers = [
        context.Process(target=append, args=(settings, f"automation:writer-{i}", share, start))
        for i, share in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    start.wait(timeout=120)
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begun
    if any(worker.exitcode for worker in workers):
        raise SystemExit(f"{label}: a writer failed")
    ledger = Ledger(RecordsDatabase(settings))
    begun = time.perf_counter()
    report = ledger.verify()
    verified = time.perf_counter() - begun
    counted = Counter(entry.actor for entry in ledger.entries())
    if not report.intact or report.entries != entries or sorted(counted.values()) != sorted(shares):
        raise SystemExit(f"{label}: {report}, {counted}")
    print(
        f"{label:10s} {entries:,} appends from {processes} processes in {seconds:.1f} s: {entries / seconds:,.0f}/s; "
        f"one intact chain, anchored up to {report.anchored:,}; verified at {entries / verified:,.0f} entries/s"
    )


def main() -> None:
    """Measure both databases, as far as they are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    numbers = {"entries": options.entries, "processes": options.processes}
    with tempfile.TemporaryDirectory() as folder:
        here = dataclasses.replace(
            Settings.from_environment(), data=Path(folder) / "data", keys_folder=None, records_uri=None
        )
        measure(here, "SQLite", **numbers)
        server = os.environ.get(POSTGRES)
        if not server:
            print(f"PostgreSQL is left out: {POSTGRES} names no server.")
            return
        import psycopg

        schema = f"benchmark_{uuid.uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        try:
            address = f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}"
            there = dataclasses.replace(here, keys_folder=Path(folder) / "server-keys", records_uri=address)
            measure(there, "PostgreSQL", **numbers)
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")


if __name__ == "__main__":
    main()
