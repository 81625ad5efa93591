"""How fast a backfill is that somebody starts in the UI: a real web server, a real daemon, real runs.

A catalogue with as many cohorts as asked for is made in a folder of its own; one asset over them does nothing, so that
what is measured is the way from the click to the end of the last run. Servers are started, asked over HTTP as the UI
asks them, and stopped. It ends by itself, with what it has, after ``--patience`` seconds.

    python benchmarks/ui_backfill.py --cohorts 1000
    python benchmarks/ui_backfill.py --shipped --assets cohort,features --patience 3000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GOALS = {"starts_per_second": 10.0, "slowest_page_s": 3.0, "slowest_tick_s": 2.0, "growth": 1.1}
DEFINITIONS = '''\
"""The platform with one more asset, which does nothing."""

from functools import cache

import dagster as dg

from clinical_assets.definitions import load
from clinical_assets.defs.partitions import cohorts


@dg.asset(partitions_def=cohorts())
def trivial() -> dg.MaterializeResult:
    print("nothing to do")
    return dg.MaterializeResult(metadata={"rows": 1})


@cache
def merged() -> dg.Definitions:
    return dg.Definitions.merge(load(), dg.Definitions(assets=[trivial]))


@dg.definitions
def defs() -> dg.Definitions:
    return merged()
'''
ORDINARY = "run_launcher:\n  module: clinical_assets.dagster_private\n  class: WatchedRunLauncher\n"
LAUNCH = """mutation($asked: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $asked) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query($backfill: String!) { partitionBackfillOrError(backfillId: $backfill) {
  ... on PartitionBackfill { status } } }"""
# What the pages of the UI ask for, shortened to the parts that read runs, events or partitions.
PAGES = {
    "runs": """query { runsFeedOrError(limit: 30, view: RUNS) { ... on RunsFeedConnection { results { __typename id
      runStatus creationTime startTime endTime tags { key value } jobName
      ... on Run { runId hasReExecutePermission hasTerminatePermission assetSelection { path } } } cursor hasMore } }
      finished: runsFeedCountOrError(view: RUNS) { ... on RunsFeedCount { count } } }""",
    "queued runs": """query { runsOrError(filter: {statuses: [QUEUED]}, limit: 30) { ... on Runs { results { id runId
      status tags { key value } pipelineName startTime endTime creationTime stats { __typename } } count } } }""",
    "asset": """query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode { id
      partitionStats { numMaterialized numPartitions numFailed numMaterializing }
      partitionKeysByDimension { name partitionKeys }
      assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions
      materializingPartitions unmaterializedPartitions } } assetMaterializations(limit: 100) { runId timestamp partition
      runOrError { ... on Run { id status } } metadataEntries { label } } } } }""",
    "asset partition": """query($asset: AssetKeyInput!, $key: String!) { assetNodeOrError(assetKey: $asset) {
      ... on AssetNode { id latestMaterializationByPartition(partitions: [$key]) { runId timestamp stepStats { startTime
      endTime } metadataEntries { label } } staleStatus(partition: $key) dataVersion(partition: $key) } } }""",
    "backfills": """query { partitionBackfillsOrError(limit: 10) { ... on PartitionBackfills { results { id status
      numPartitions timestamp partitionStatusCounts { runStatus count } } } } }""",
    "backfill": """query($backfill: String!) { partitionBackfillOrError(backfillId: $backfill) {
      ... on PartitionBackfill { id status numPartitions hasCancelPermission assetBackfillData {
      rootTargetedPartitions { partitionKeys }
      assetBackfillStatuses { ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsTargeted
      numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed } } } } } }""",
    "run": """query($run: ID!) { runOrError(runId: $run) { ... on Run { id status stats { __typename } stepStats {
      stepKey status } tags { key value }
      eventConnection(limit: 1000) { events { __typename ... on MessageEvent { message timestamp } }
      cursor hasMore } } } }""",
    "overview": """query { workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
      ... on RepositoryLocation { repositories { name pipelines { name } sensors { name sensorState { status
      ticks(limit: 1) { status } } } } } } } } } instance {
      daemonHealth { allDaemonStatuses { daemonType healthy } } } }""",
}


@dataclass
class Found:
    """What a backfill came to."""

    cohorts: int
    launcher: str
    seconds: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    first_start_s: float | None = None
    starts_per_second: float | None = None
    growth: float | None = None
    seconds_at: dict[int, float] = field(default_factory=dict)
    locked: int = 0
    pages_s: dict[str, float] = field(default_factory=dict)
    slowest_page_s: float | None = None
    ticks: int = 0
    slowest_tick_s: float | None = None
    daemon_megabytes: float | None = None
    cpu_seconds: dict[str, float] = field(default_factory=dict)


def make(root: Path, *, cohorts: int | None, launcher: str) -> None:
    """An installation: catalogue of a family (None: only the shipped one), definitions, workspace, ``dagster.yaml``."""
    home = root / "data" / "dagster"
    home.mkdir(parents=True)
    settings = (ROOT / "dagster.yaml").read_text()
    if launcher == "ordinary":
        settings = re.sub(r"^run_launcher:\n(?:[ #].*\n)+", ORDINARY, settings, flags=re.MULTILINE)
        settings = re.sub(r"^(run_coordinator|backfills):\n(?:[ #].*\n)+", "", settings, flags=re.MULTILINE)
    (home / "dagster.yaml").write_text(settings)
    family = root / "catalogue" / "families"
    family.mkdir(parents=True)
    if cohorts is not None:
        (family / "ward.yaml").write_text("title: Cohort ${name}\n")
        names = "".join(f"ward_{number:04d}\n" for number in range(cohorts))
        (family / "ward.csv").write_text(f"name\n{names}")
    code = root / "code"
    code.mkdir()
    (code / "trivial_cohorts.py").write_text(DEFINITIONS)
    (root / "workspace.yaml").write_text(
        "load_from:\n  - python_module:\n      module_name: trivial_cohorts\n"
        f"      working_directory: {code}\n      location_name: clinical_assets\n"
    )


def environment(root: Path) -> dict[str, str]:
    """Variables of the servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLINICAL_ASSETS_", "DAGSTER_"))}
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {
        **kept,
        "PYTHONPATH": path,
        "DAGSTER_HOME": str(root / "data" / "dagster"),
        "CLINICAL_ASSETS_DATA": str(root / "data"),
        "CLINICAL_ASSETS_CATALOGUE": str(root / "catalogue"),
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def server(root: Path, name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own with a log of its own; stopped at the end."""
    with (root / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=root,
            env=environment(root),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for sent in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sent)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
                    break


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ui:
    """What a browser does: GraphQL over HTTP."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        """Answer to a query; the data alone."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._address, data=body, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            said = json.load(answer)
        if said.get("errors"):
            raise SystemExit(f"The web server refuses a query: {said['errors'][0]['message']}\n{query}")
        return said["data"]

    def serves(self) -> bool:
        """Whether it answers, with the code location loaded."""
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            entries = self.ask(PAGES["overview"])["workspaceOrError"]["locationEntries"]
            return all(entry["locationOrLoadError"] for entry in entries)
        return False


def wait(look: Callable[[], Any], *, until: float, every: float = 0.5) -> bool:
    """Look until it is so; False when the time is over."""
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(every)
    return True


def time_pages(ui: Ui, pages: dict[str, float], *, asset: str, cohort: str, backfill: str) -> None:
    """Seconds of each page, the slowest look counts."""
    newest = ui.ask("query { runsOrError(limit: 1) { ... on Runs { results { runId } } } }")
    runs = newest["runsOrError"]["results"]
    for name, query in PAGES.items():
        if "$run" in query and not runs:
            continue
        values = {"asset": {"path": [asset]}, "key": cohort, "backfill": backfill, "run": runs and runs[0]["runId"]}
        started = time.perf_counter()
        ui.ask(query, **{key: value for key, value in values.items() if f"${key}:" in query})
        pages[name] = max(pages.get(name, 0.0), round(time.perf_counter() - started, 3))


def measure(
    root: Path, *, cohorts: int | None, launcher: str, assets: Sequence[str] = ("trivial",), patience_s: float = 900
) -> Found:
    """Start servers below a folder, launch the backfill, wait for its end, and look at all of it."""
    make(root, cohorts=cohorts, launcher=launcher)
    port = free_port()
    until = time.monotonic() + patience_s
    with ExitStack() as servers:
        shared = ("-w", str(root / "workspace.yaml"))
        address = ("-h", "127.0.0.1", "-p", str(port))
        servers.enter_context(server(root, "webserver", "dagster_webserver", *shared, *address))
        daemon = servers.enter_context(server(root, "daemon", "dagster._daemon", "run", *shared))
        ui = Ui(port)
        if not wait(ui.serves, until=until):
            raise SystemExit(f"The web server does not come up:\n{(root / 'webserver.log').read_text()[-2000:]}")
        nodes = ui.ask(
            "query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode { "
            "partitionKeys } } }",
            asset={"path": [assets[0]]},
        )
        names = nodes["assetNodeOrError"]["partitionKeys"]
        if cohorts is not None:
            names = [name for name in names if name.startswith("ward_")]
        found = Found(len(names), launcher)
        selection = [{"path": [asset]} for asset in assets]
        # A person who has the UI open comes when the daemon is there.
        wait(lambda: "allDaemonStatuses" in json.dumps(ui.ask(PAGES["overview"])), until=until)
        clicked = time.time()
        said = ui.ask(LAUNCH, asked={"assetSelection": selection, "partitionNames": names})["launchPartitionBackfill"]
        if "backfillId" not in said:
            raise SystemExit(f"The backfill was refused: {said}")
        look = {"asset": assets[-1], "cohort": names[0], "backfill": said["backfillId"]}
        pages: dict[str, float] = {}

        def over() -> bool:
            if daemon.poll() is not None:
                raise SystemExit(f"The daemon ended:\n{(root / 'daemon.log').read_text()[-2000:]}")
            time_pages(ui, pages, **look)
            now = ui.ask(STATUS, backfill=said["backfillId"])["partitionBackfillOrError"]["status"]
            return now not in ("REQUESTED", "CANCELING")

        wait(over, until=until, every=10.0)
        time_pages(ui, pages, **look)
        found.pages_s, found.slowest_page_s = pages, max(pages.values())
        found.daemon_megabytes, found.cpu_seconds = _megabytes(daemon.pid), _cpu_seconds(root)
    _look_at_runs(root, found, clicked)
    return found


def _megabytes(process: int) -> float | None:
    with suppress(OSError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return None


def _cpu_seconds(root: Path) -> dict[str, float]:
    """CPU seconds of the processes of an installation that live, by what they are; Linux only."""
    spent: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"CLINICAL_ASSETS_DATA={root / 'data'}\0" not in (folder / "environ").read_text(errors="replace"):
                continue
            words = (folder / "cmdline").read_text().replace("\0", " ")
            parts = ("warm.worker", "webserver", "_daemon", "code-server", "api grpc")
            what = next((part for part in parts if part in words), "other")
            fields = [int(each) for each in (folder / "stat").read_text().rpartition(")")[2].split()[11:15]]
            # Of the daemon's children only workers have ended.
            for part, ticks in ((what, sum(fields[:2])), (f"ended, of {what}", sum(fields[2:]))):
                spent[part] = round(spent.get(part, 0.0) + ticks / os.sysconf("SC_CLK_TCK"), 1)
    return spent


def _look_at_runs(root: Path, found: Found, clicked: float) -> None:
    os.environ.update(environment(root))
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        records = instance.get_run_records()
        ticks = [
            (tick.end_timestamp or tick.timestamp) - tick.timestamp
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=500)
        ]
        runs = [record.dagster_run for record in records]
        for failed in [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE][:1]:
            print(f"A run that failed: {instance.all_logs(failed.run_id)[-1].message}", file=sys.stderr)
    for record in records:
        status = record.dagster_run.status.value
        found.ended[status] = found.ended.get(status, 0) + 1
    ends = sorted(record.end_time for record in records if record.end_time)
    starts = sorted(record.start_time for record in records if record.start_time)
    if starts and ends:
        found.seconds, found.first_start_s = round(ends[-1] - clicked, 1), round(starts[0] - clicked, 1)
    # The first runs pay for the imports of their processes.
    warm = starts[min(10, len(starts) // 5) :]
    if len(warm) > 1:
        found.starts_per_second = round((len(warm) - 1) / (warm[-1] - warm[0]), 2)
        sizes = [size for size in (10, 30, 100, 300, 1000, len(warm)) if size <= len(warm)]
        found.seconds_at = {size: round(warm[size - 1] - warm[0], 1) for size in sizes}
        reference = next((size for size in sizes if size >= len(warm) / 11), sizes[0])
        if found.seconds_at[reference] and reference < sizes[-1]:
            ratio = found.seconds_at[sizes[-1]] / found.seconds_at[reference]
            found.growth = round(math.log(ratio) / math.log(sizes[-1] / reference), 2)
    found.ticks, found.slowest_tick_s = len(ticks), round(max(ticks), 2) if ticks else None
    said = [path.read_text(errors="replace") for path in root.glob("*.log")]
    found.locked = sum(text.count("database is locked") for text in said)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=1000, help="of the generated family")
    parser.add_argument("--shipped", action="store_true", help="the shipped catalogue instead")
    parser.add_argument("--assets", default="trivial", help="separated by commas")
    parser.add_argument("--launcher", choices=("warm", "ordinary"), default="warm")
    parser.add_argument("--patience", type=float, default=900, help="seconds")
    parser.add_argument("--keep", type=Path, help="folder of the installation, kept")
    parser.add_argument("--json", action="store_true", help="no words")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ui_backfill_", ignore_cleanup_errors=True) as folder:
        found = measure(
            asked.keep or Path(folder),
            cohorts=None if asked.shipped else asked.cohorts,
            launcher=asked.launcher,
            assets=asked.assets.split(","),
            patience_s=asked.patience,
        )
    print(json.dumps(asdict(found), indent=1))
    if asked.json:
        return
    for name, goal in GOALS.items():
        value = getattr(found, name)
        if value is not None:
            met = value >= goal if name == "starts_per_second" else value <= goal
            print(f"{name}: {value:g}, goal {goal:g}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
