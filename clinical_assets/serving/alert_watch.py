"""What is worth an alert: reports whose light changed, failed gates, promotions, rollbacks, cohorts that fell silent.

What belongs here: looking at what was kept and entered since the last look, and putting it into words that name no
patient, no value and no free text. What does not: sending (``alerts``). Looking is cheap: files that did not change are
not read again, and of the ledger only new entries are.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.governance import champions
from clinical_assets.monitoring import kept_reports
from clinical_assets.monitoring.signals import signal_of
from clinical_assets.records.clock import parse
from clinical_assets.records.schema import ledger as table
from clinical_assets.serving.alerts import Alert, Kind, Severity, write_json
from clinical_assets.serving.descriptions import Descriptions, stamp
from clinical_assets.serving.platform_readings import has_records

if TYPE_CHECKING:
    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.governance.champions import Champion
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.entries import Entry
    from clinical_assets.records.ledger import Action
    from clinical_assets.settings import Settings

_KINDS: Mapping[kept_reports.Name, Kind] = {
    "data_quality_report": "data_quality",
    "drift_report": "drift",
    "performance_report": "performance",
    "fairness_report": "fairness",
    "update_recommendation": "recommendation",
}
_WATCHED: tuple[Action, ...] = ("gate_verdict", "promotion", "rollback")
_log = logging.getLogger(__name__)


@dataclass
class Seen:
    """What was looked at before; kept in ``data/alerts/watched.json``.

    Attributes
    ----------
    seq : int or None
        Number of the newest ledger entry that was looked at; None before the first look.
    lights : dict
        ``cohort/report`` to time and size of the file, digest of the model, verdict.
    """

    seq: int | None = None
    lights: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Watcher:
    """Looks at one data folder for what is new."""

    settings: Settings
    catalogue: Catalogue
    records: RecordsDatabase
    descriptions: Descriptions

    def look(self, seen: Seen, *, now: datetime | None = None) -> list[Alert]:
        """What is new since `seen`, which is brought up to date.

        A look that finds an installation with history for the first time tells of its present state, not of its past.
        One part that cannot be read is logged, and does not keep the others from being told.
        """
        moment = now or datetime.now(UTC)
        found: list[Alert] = []
        found += self._reports(seen, moment)
        with _guarded("the audit ledger"):
            found += self._entries(seen, moment)
        with _guarded("silent cohorts"):
            found += self._silent(moment)
        return found

    def _reports(self, seen: Seen, now: datetime) -> list[Alert]:
        made = []
        for cohort in self.catalogue.names():
            folder = kept_reports.folder_of(self.settings, cohort)
            if not folder.is_dir():
                continue
            for name in kept_reports.NAMES:
                with _guarded(f"the {name} of {cohort}"):
                    made += self._report(seen, cohort, name, now)
        return made

    def _report(self, seen: Seen, cohort: str, name: kept_reports.Name, now: datetime) -> list[Alert]:
        mark = stamp(kept_reports.folder_of(self.settings, cohort) / name / "latest.json")
        before = seen.lights.get(f"{cohort}/{name}")
        if mark is None or (before is not None and before[0] == list(mark)):
            return []
        newest = kept_reports.latest(self.settings, cohort, name)
        if newest is None:
            return []
        said = [newest["bundle_digest"], newest["verdict"]]
        colour = signal_of(newest).colour
        made = []
        if colour in ("amber", "red") and (before is None or before[1:] != said):
            severity: Severity = "critical" if colour == "red" else "warning"
            cause = f"{said[0]} {said[1]} {newest['made_at']}"
            made.append(self._about_report(cohort, name, newest, severity, cause, now))
        seen.lights[f"{cohort}/{name}"] = [list(mark), *said]
        return made

    def _about_report(
        self,
        cohort: str,
        name: kept_reports.Name,
        newest: Mapping[str, Any],
        severity: Severity,
        cause: str,
        now: datetime,
    ) -> Alert:
        verdict, words = signal_of(newest).word, name.replace("_", " ")
        text = (
            f"The newest {words} was made at {str(newest['made_at'])[:19]} UTC and says: {verdict}. "
            f"Read data/reports/{cohort}/index.html before anything is decided."
        )
        if name == "update_recommendation":
            text += (
                f" The rule was {newest['rule']}; {newest['n']} outcomes with {newest['events']} events were judged."
            )
        title = f"{self._named(cohort)}: {words} says {verdict}"
        return Alert(_KINDS[name], cohort, severity, title, text, now.isoformat(), cause)

    def _entries(self, seen: Seen, now: datetime) -> list[Alert]:
        from clinical_assets.records.ledger import Ledger

        if not has_records(self.records):
            seen.seq = seen.seq or 0
            return []
        ledger = Ledger(self.records)
        newest = ledger.newest(1)
        head = newest[0].seq if newest else 0
        made: list[Alert] = []
        if seen.seq is not None and head < seen.seq:
            made.append(_shorter(seen.seq, head, now))
        elif seen.seq is not None:
            for action in _WATCHED:
                entries = ledger.entries(action=action, after=seen.seq)
                made += [alert for each in entries if each.seq <= head for alert in self._about_entry(each, now)]
        seen.seq = head
        return made

    def _about_entry(self, entry: Entry, now: datetime) -> Iterable[Alert]:
        cohort = entry.cohort or "platform"
        where = f"Entry {entry.seq} of the audit ledger, {entry.at[:19]} UTC, has the details."
        if entry.action == "gate_verdict":
            if entry.facts.get("summary") == "fail":
                gate = str(entry.facts["gate"])
                title = f"{self._named(cohort)}: gate {gate} failed"
                text = (
                    f"{entry.facts.get('fail')} criteria failed. `clinical-assets gates {cohort}` lists them. {where}"
                )
                # One bundle fails one gate once, however often it is evaluated.
                yield Alert("gate_failed", cohort, "warning", title, text, now.isoformat(), f"{entry.digest} {gate}")
        elif entry.action == "promotion":
            title = f"{self._named(cohort)}: a new champion serves"
            yield Alert("promotion", cohort, "info", title, where, now.isoformat(), entry.hash)
        else:
            title = f"{self._named(cohort)}: rolled back to an earlier champion"
            yield Alert("rollback", cohort, "critical", title, where, now.isoformat(), entry.hash)

    def _silent(self, now: datetime) -> list[Alert]:
        serving = [each for name in self.catalogue.names() if (each := self._champion(name)) is not None]
        if not serving:
            return []
        newest: dict[str, str] = {}
        if has_records(self.records):
            query = sa.select(table.c.cohort, sa.func.max(table.c.at)).where(table.c.action == "batch")
            with self.records.read() as connection:
                newest = {str(row[0]): str(row[1]) for row in connection.execute(query.group_by(table.c.cohort))}
        made = []
        for champion in serving:
            with _guarded(f"the silence of {champion.cohort}"):
                made += self._silence(champion, newest.get(champion.cohort, champion.since), now)
        return made

    def _silence(self, champion: Champion, since: str, now: datetime) -> list[Alert]:
        """One alert where the newest batch is too old; the moment of that batch says which silence it is."""
        spec = self.descriptions.of(self.catalogue, champion.cohort)
        if now - parse(since) <= timedelta(hours=spec.monitoring.stale_after_hours):
            return []
        hours = int((now - parse(since)).total_seconds() // 3600)
        title = f"{self._named(champion.cohort)}: no new records for {hours // 24} days"
        text = (
            f"The last batch came {hours} hours ago, {spec.monitoring.stale_after_hours} are allowed. Nothing is "
            f"known about how the model does now. Find out why data/inbox/{champion.cohort} stays empty."
        )
        return [Alert("stale", champion.cohort, "warning", title, text, now.isoformat(), since)]

    def _champion(self, cohort: str) -> Champion | None:
        try:
            return champions.current(self.settings, cohort)
        except champions.ChampionError as error:
            _log.warning("Alerts: %s", error.message)
            return None

    def _named(self, cohort: str) -> str:
        """The cohort's name, with a word where its records are made up."""
        try:
            return f"{cohort} (synthetic)" if self.descriptions.of(self.catalogue, cohort).synthetic else cohort
        except ClinicalAssetsError:
            return cohort  # a description that cannot be read must not keep an alert back


@contextlib.contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Log what cannot be looked at, and go on: one broken file must not silence all others."""
    try:
        yield
    except (ClinicalAssetsError, OSError, ValueError, KeyError, TypeError) as error:
        words = error.message if isinstance(error, ClinicalAssetsError) else type(error).__name__
        _log.warning("Alerts: %s could not be looked at: %s", what, words)


def load_seen(settings: Settings) -> Seen:
    """What was looked at before; nothing where the file is missing or broken."""
    try:
        told = json.loads((settings.alerts / "watched.json").read_text(encoding="utf-8"))
        return Seen(seq=told["seq"], lights=dict(told["lights"]))
    except FileNotFoundError:
        return Seen()
    except (ValueError, KeyError, TypeError):
        _log.warning("data/alerts/watched.json cannot be read; the present state counts as new.")
        return Seen()


def save_seen(settings: Settings, seen: Seen) -> None:
    """Keep what was looked at."""
    write_json(settings.alerts / "watched.json", {"seq": seen.seq, "lights": seen.lights})


def _shorter(before: int, head: int, now: datetime) -> Alert:
    title = "The audit ledger became shorter"
    text = (
        f"It had {before} entries and has {head}. Entries are never taken out: run `clinical-assets audit verify`, "
        "find out who wrote the database, and restore the newest backup."
    )
    return Alert("ledger", None, "critical", title, text, now.isoformat(), f"{before} {head} {now.date()}")
