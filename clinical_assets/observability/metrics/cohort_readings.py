"""What one cohort's state says at this moment, as samples: volumes, reports, champion, gates, inbox.

What belongs here: reading. What does not: when to read again, and what to do when something cannot be read
(``exporter``). Nothing here makes a file or changes one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.governance.verdicts.verdict_store import VerdictsChanged, latest_verdicts
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import signal_of
from clinical_assets.observability.metrics.metrics import (
    GATE_LIGHTS,
    LIGHTS,
    RECOMMENDATIONS,
    MetricSample,
    bounded,
    sample,
)
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.sources import inbox
from clinical_assets.warehouse.outcomes.received_tables import BATCHES, SCORED, has_table
from clinical_assets.warehouse.store.sql_text import literal
from clinical_assets.warehouse.store.warehouse import Warehouse

_ALL = 10**9


def volumes(settings: Settings, spec: CohortSpec, champion: Champion | None) -> list[MetricSample]:
    """Scored records and alerts by tier, batches, refused records.

    Raises
    ------
    WarehouseError
        The warehouse cannot be read; caused by ``Busy`` when a run writes it. Nobody is waited for.
    """
    warehouse = Warehouse(spec.name, replace(settings, lock_patience_s=0.0))
    tiers = {tier.name: 0 for tier in spec.decisions.tiers}
    made: list[MetricSample] = []
    with warehouse.reader() as connection:
        if has_table(connection, *BATCHES.split(".")):
            found = connection.execute(
                f"SELECT count(*), sum(rows), sum(refused_rows), max(received_at) FROM {BATCHES}"
            ).fetchone()
            assert found is not None  # an aggregate without GROUP BY always yields one row
            batches, rows, refused, newest = found
            made += sample("batches", batches, spec.name)
            made += sample("batch_records", rows or 0, spec.name)
            made += sample("refused_records", refused or 0, spec.name)
            if newest is not None:
                made += sample("newest_batch_timestamp_seconds", parse(str(newest)).timestamp(), spec.name)
        if champion is not None and has_table(connection, *SCORED.split(".")):
            counted = connection.execute(
                f"SELECT tier, count(*), count(*) FILTER (is_alert) FROM {SCORED} "
                f"WHERE bundle_digest = {literal(champion.digest)} GROUP BY tier"
            ).fetchall()
            # A tier that occurs in nobody is a true zero, not an unknown.
            for tier, rows, alerts in [*counted, *((name, 0, 0) for name in tiers)]:
                labels = (spec.name, bounded(str(tier), tiers))
                made += sample("scored_records", rows, *labels) + sample("alerts", alerts, *labels)
    return made


def described(spec: CohortSpec) -> list[MetricSample]:
    """What the description says."""
    synthetic = "yes" if spec.synthetic else "no"
    return [
        *sample("cohort_info", 1, spec.name, synthetic),
        *sample("stale_after_seconds", spec.monitoring.stale_after_hours * 3600, spec.name),
    ]


def served(champion: Champion) -> list[MetricSample]:
    """Since when a champion serves."""
    return sample("champion_since_timestamp_seconds", parse(champion.since).timestamp(), champion.cohort)


def report(
    settings: Settings, cohort: str, name: report_store.ReportName, champion: Champion | None
) -> list[MetricSample]:
    """Light, time and numbers of the newest report; of a report about another model than the champion only the time."""
    newest = report_store.latest(settings, cohort, name)
    if newest is None:
        return []
    made = sample("report_timestamp_seconds", parse(newest.made_at).timestamp(), cohort, name)
    if champion is None or newest.bundle_digest != champion.digest:
        return made
    made += sample("report_light", LIGHTS[signal_of(newest).colour], cohort, name)
    if name == "update_recommendation":
        made += sample("recommendation", 1, cohort, bounded(str(newest.action), RECOMMENDATIONS))
    for found, metric in BY_NAME[name].exported.items():
        made += sample(metric, newest.metrics.get(found), cohort)
    return made


def gates(records: RecordsDatabase, cohort: str, digest: str) -> list[MetricSample]:
    """What the gates said about a bundle; verdicts that were changed afterwards are red and said so."""
    try:
        stored = latest_verdicts(records, bundle_digest=digest)
    except VerdictsChanged:
        lights = [each for gate in GATES for each in sample("gate_state", GATE_LIGHTS["fail"], cohort, gate)]
        return [*sample("verdicts_changed", 1, cohort), *lights]
    made = sample("verdicts_changed", 0, cohort) if stored else []
    for gate, run in stored.items():
        made += sample("gate_state", GATE_LIGHTS[run.outcome], cohort, gate)
    return made


def waiting(settings: Settings, folder: str, *, label: str) -> list[MetricSample]:
    """What lies in one folder of the inbox: complete files, since when, and refused ones."""
    found = inbox.complete(settings, folder, chunk=_ALL)
    refused = settings.inbox / folder / inbox.REFUSED
    made = sample("inbox_files", len(found), label)
    made += sample("inbox_refused_files", _refused(refused) + _refused(refused / inbox.OUTCOMES), label)
    changed = [_put_there(each.path) for each in found]
    return made + sample("inbox_oldest_timestamp_seconds", min((x for x in changed if x), default=None), label)


def _refused(folder: Path) -> int:
    # Beside each refused file or folder lies one report for programs.
    return sum(1 for _ in folder.glob("*.report.json"))


def _put_there(path: Path) -> float | None:
    try:
        stat = path.stat()
    except FileNotFoundError:  # a run took it in meanwhile
        return None
    # The status time, too: a copy may keep the old time of its content.
    return max(stat.st_mtime, stat.st_ctime)
