"""What a silent experiment costs an answer: two servers side by side, one with it and one without, asked in turns.

    python benchmarks/shadow_latency.py [--requests 2000] [--per-second 20]

Requests come at a steady pace, one to each server in turn, so that whatever else the machine does meets both alike. The
ratio of the 99th percentiles counts; times alone are those of a busy machine.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from assets_tests.worlds.ward.api_server import path_of, record, running
from assets_tests.worlds.ward.released import made_again
from assets_tests.worlds.ward.trial import ward_trial
from clinical_assets.experiments.exposures import read_exposures


def main() -> None:
    """Ask both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--per-second", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = made_again(Path(folder) / "plain")
        silent = plain.copy_to(Path(folder) / "silent")
        trial = ward_trial(silent)
        trial.begin()
        with running(plain) as first, running(silent) as second:
            servers = {"without": first, "silent": second}
            times: dict[str, list[float]] = {name: [] for name in servers}
            clients = {name: httpx.Client(base_url=each.address) for name, each in servers.items()}
            began = time.perf_counter()
            for number in range(asked.requests):
                for name in random.sample(sorted(servers), 2):
                    time.sleep(max(0.0, began + number / asked.per_second - time.perf_counter()))
                    body = {"records": [record(patient_id=f"Z{number % 100_000:05d}", age_years=40 + number % 45)]}
                    start = time.perf_counter()
                    clients[name].post(path_of("predict"), json=body).raise_for_status()
                    if number >= asked.requests // 10:
                        times[name].append(1000 * (time.perf_counter() - start))
            time.sleep(2)
        log = read_exposures(silent.settings, trial.cohort.spec, protocol=trial.protocol.digest)
        paired = sum(each.shadow is not None for each in log.exposures)
    print(f"{asked.requests} requests to each at {asked.per_second:g}/s; pairs {paired} of {len(log.exposures)}")
    for share in (50, 95, 99):
        without, with_it = (float(np.percentile(times[name], share)) for name in ("without", "silent"))
        print(f"p{share}: {without:.2f} ms without, {with_it:.2f} ms silent, {with_it / without - 1:+.1%}")


if __name__ == "__main__":
    main()
