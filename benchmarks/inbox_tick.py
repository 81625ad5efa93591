"""How long a look of the ``inbox`` sensor takes with 1,000 cohorts and 10,000 files; the goal is under 2 s.

Cohorts are members of a generated family, so that their partitions exist. Run in a process of its own:

    python benchmarks/inbox_tick.py [cohorts] [files]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 2.0
TEMPLATE = """\
title: Cohort ${name}
"""


def make(root: Path, *, cohorts: int, files: int) -> list[str]:
    """A catalogue with a family, and an inbox with files spread evenly over its members; nothing is read of either."""
    names = [f"ward_{number:04d}" for number in range(cohorts)]
    family = root / "catalogue" / "families"
    family.mkdir(parents=True)
    (family / "ward.yaml").write_text(TEMPLATE)
    (family / "ward.csv").write_text("name\n" + "".join(f"{name}\n" for name in names))
    for name in names:
        (root / "data" / "inbox" / name).mkdir(parents=True)
    for number in range(files):
        path = root / "data" / "inbox" / names[number % cohorts] / f"batch_{number:05d}.csv"
        path.write_text("patient_id,age_years\n1,60\n")
    return names


def main() -> None:
    cohorts, files = (int(each) for each in (*sys.argv[1:3], "1000", "10000")[:2])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = make(root, cohorts=cohorts, files=files)
        os.environ["CLINICAL_ASSETS_DATA"] = str(root / "data")
        os.environ["CLINICAL_ASSETS_CATALOGUE"] = str(root / "catalogue")
        os.environ["CLINICAL_ASSETS_INBOX_SETTLED_S"] = "0"
        os.environ.pop("DAGSTER_HOME", None)
        started = time.perf_counter()
        import dagster as dg

        from clinical_assets.definitions import load
        from clinical_assets.defs.automation.sensors import inbox
        from clinical_assets.defs.resources import Platform

        repository = load().get_repository_def()
        loaded = time.perf_counter() - started
        with dg.instance_for_test(temp_dir=str(make_home(root))) as instance:
            cursor: str | None = None
            asked: set[str] = set()
            ticks, evaluations = [], []
            while True:
                started = time.perf_counter()
                with dg.build_sensor_context(
                    instance=instance, cursor=cursor, repository_def=repository, resources={"platform": Platform()}
                ) as context:
                    # What the daemon's process does: the function, the checks of its requests, their serialisation.
                    data = inbox.evaluate_tick(context)
                ticks.append(time.perf_counter() - started)
                evaluations.append(len(data.run_requests or ()))
                if not data.run_requests:
                    break
                cursor = data.cursor
                asked |= {str(request.partition_key) for request in data.run_requests}
        assert asked == set(names), f"{len(asked)} of {len(names)} cohorts were asked for"
        print(f"{cohorts:,} cohorts, {files:,} files; definitions loaded in {loaded:.2f} s")
        print(f"cold tick  {ticks[0]:.3f} s, {evaluations[0]} runs asked for")
        warm = statistics.median(ticks[1:-1])
        print(f"warm ticks {warm:.3f} s (median of {len(ticks) - 2}), {evaluations[1]} runs each")
        print(f"idle tick  {ticks[-1]:.3f} s, nothing new")
        print(f"slowest    {max(ticks):.3f} s; goal {SECONDS:g} s: {'met' if max(ticks) < SECONDS else 'MISSED'}")


def make_home(root: Path) -> Path:
    home = root / "home"
    home.mkdir()
    return home


if __name__ == "__main__":
    main()
