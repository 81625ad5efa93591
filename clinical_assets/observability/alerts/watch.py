"""What is worth an alert: reports whose light changed, failed gates, promotions, rollbacks, cohorts that fell silent.

What belongs here: looking at what was kept and entered since the last look, and putting it into words that name no
patient, no value and no free text. What does not: sending (``alerts``). Looking is cheap: files that did not change are
not read again, and of the ledger only new entries are.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.atomic_files import PRIVATE
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat, VersionedDocument
from clinical_assets.governance.verification_record import last_verification
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import signal_of
from clinical_assets.observability.alerts.alert import Alert, AlertKind, AlertSeverity
from clinical_assets.observability.metrics.descriptions import Descriptions, stamp
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.facts.models import GateVerdictFacts
from clinical_assets.records.ledger.ledger import Ledger, LedgerAction
from clinical_assets.records.schema import ledger as table

_EVIDENCE = "platform/evidence"
_WATCHED: tuple[LedgerAction, ...] = ("gate_verdict", "promotion", "rollback", "retirement", "refusal")
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


class WatchedState(VersionedDocument):
    """Content of ``data/alerts/watched.json``; fields as in `Seen`."""

    seq: int | None
    lights: dict[str, list[Any]]


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
        with _guarded("the verification of all evidence"):
            found += self._evidence(seen, moment)
        with _guarded("silent cohorts"):
            found += self._silent(moment)
        with _guarded("broken descriptions"):
            found += self._broken(moment)
        return found

    def _broken(self, now: datetime) -> Iterator[Alert]:
        """One alert per cohort that serves or has data and whose description cannot be used; lists show the others."""
        for cohort in self.catalogue.names():
            try:
                self._described(cohort)
            except ClinicalAssetsError as error:
                if self._champion(cohort) is None and not (self.settings.warehouse / f"{cohort}.duckdb").exists():
                    continue
                title = f"{cohort}: its description is broken"
                text = (
                    "Nothing of it is read, trained, scored or monitored until it is mended. "
                    f"`clinical-assets cohorts check {cohort}` says what is wrong."
                )
                yield Alert(
                    kind="description",
                    cohort=cohort,
                    severity="warning",
                    title=title,
                    text=text,
                    at=now.isoformat(),
                    cause=value_digest(error.message),
                )

    def _reports(self, seen: Seen, now: datetime) -> list[Alert]:
        made = []
        for cohort in self.catalogue.names():
            folder = report_store.folder_of(self.settings, cohort)
            if not folder.is_dir():
                continue
            for name in report_store.NAMES:
                with _guarded(f"the {name} of {cohort}"):
                    made += self._report(seen, cohort, name, now)
        return made

    def _report(self, seen: Seen, cohort: str, name: report_store.ReportName, now: datetime) -> list[Alert]:
        mark = stamp(report_store.folder_of(self.settings, cohort) / name / "latest.json")
        before = seen.lights.get(f"{cohort}/{name}")
        if mark is None or (before is not None and before[0] == list(mark)):
            return []
        newest = report_store.latest(self.settings, cohort, name)
        if newest is None:
            return []
        said = [newest.bundle_digest, newest.verdict]
        colour = signal_of(newest).colour
        made = []
        if colour in ("amber", "red") and (before is None or before[1:] != said):
            severity: AlertSeverity = "critical" if colour == "red" else "warning"
            cause = f"{said[0]} {said[1]} {newest.made_at}"
            made.append(self._about_report(cohort, name, newest, severity, cause, now))
        seen.lights[f"{cohort}/{name}"] = [list(mark), *said]
        return made

    def _about_report(
        self,
        cohort: str,
        name: report_store.ReportName,
        newest: StoredReport,
        severity: AlertSeverity,
        cause: str,
        now: datetime,
    ) -> Alert:
        verdict, words = signal_of(newest).word, name.replace("_", " ")
        text = (
            f"The newest {words} was made at {newest.made_at[:19]} UTC and says: {verdict}. "
            f"Read data/reports/{cohort}/index.html before anything is decided."
        )
        if name == "update_recommendation":
            text += f" The rule was {newest.rule}; {newest.n} outcomes with {newest.events} events were judged."
        title = f"{self._named(cohort)}: {words} says {verdict}"
        return Alert(
            kind=cast("AlertKind", BY_NAME[name].alert),
            cohort=cohort,
            severity=severity,
            title=title,
            text=text,
            at=now.isoformat(),
            cause=cause,
        )

    def _entries(self, seen: Seen, now: datetime) -> list[Alert]:
        if not self.records.exists:
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
            judged = GateVerdictFacts.found(entry.facts)
            if judged is not None and judged.summary == "fail":
                gate, failed = judged.gate, judged.failed_criteria
                title = f"{self._named(cohort)}: gate {gate} failed" + (f": {', '.join(failed)}" if failed else "")
                text = f"{judged.fail} criteria failed. `clinical-assets gates {cohort}` says why. {where}"
                yield Alert(
                    kind="gate_failed",
                    cohort=cohort,
                    severity="warning",
                    title=title,
                    text=text,
                    at=now.isoformat(),
                    # One bundle fails one gate once for the same criteria, however often it is evaluated.
                    cause=" ".join((str(entry.digest), gate, *failed)),
                )
        elif entry.action == "promotion":
            title = f"{self._named(cohort)}: a new champion serves"
            yield Alert(
                kind="promotion",
                cohort=cohort,
                severity="info",
                title=title,
                text=where,
                at=now.isoformat(),
                cause=entry.hash,
            )
        elif entry.action == "refusal":
            # Of a cohort that is served the light of its data quality says the same.
            if self._champion(cohort) is None:
                yield Alert(
                    kind="data_quality",
                    cohort=cohort,
                    severity="warning",
                    title=f"{self._named(cohort)}: deliveries were refused",
                    text=f"Reasons and cures lie in data/inbox/{cohort}/refused. {where}",
                    at=now.isoformat(),
                    cause=entry.hash,
                )
        else:
            retired = entry.action == "retirement"
            does = "champion retired, nothing is scored any more" if retired else "rolled back to an earlier champion"
            title = f"{self._named(cohort)}: {does}"
            yield Alert(
                kind="retirement" if retired else "rollback",
                cohort=cohort,
                severity="critical",
                title=title,
                text=where,
                at=now.isoformat(),
                cause=entry.hash,
            )

    def _evidence(self, seen: Seen, now: datetime) -> list[Alert]:
        """One alert for what the newest verification found; the same finding is told of once."""
        newest = last_verification(self.settings)
        if newest is None:
            return []
        before = seen.lights.get(_EVIDENCE)
        seen.lights[_EVIDENCE] = [newest.finding]
        if not newest.broken or before == [newest.finding]:
            return []
        count = sum(len(part.problems) for part in newest.parts)
        title = f"Evidence is not intact: {', '.join(newest.broken)}"
        text = (
            f"The verification of {newest.made_at[:19]} UTC found {count} things that are not as they were recorded. "
            "`clinical-assets audit verify --all` names them. Stop promotions, find out who wrote there, and restore "
            "the newest backup."
        )
        # The time of the verification: the same finding after it was mended is another episode.
        cause = f"{newest.finding} {newest.made_at}"
        return [
            Alert(
                kind="evidence",
                cohort=None,
                severity="critical",
                title=title,
                text=text,
                at=now.isoformat(),
                cause=cause,
            )
        ]

    def _silent(self, now: datetime) -> list[Alert]:
        serving = [each for name in self.catalogue.names() if (each := self._champion(name)) is not None]
        if not serving:
            return []
        newest: dict[str, str] = {}
        if self.records.exists:
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
        spec = self._described(champion.cohort)
        if now - parse(since) <= timedelta(hours=spec.monitoring.stale_after_hours):
            return []
        hours = int((now - parse(since)).total_seconds() // 3600)
        title = f"{self._named(champion.cohort)}: no new records for {hours // 24} days"
        text = (
            f"The last batch came {hours} hours ago, {spec.monitoring.stale_after_hours} are allowed. Nothing is "
            f"known about how the model does now. Find out why data/inbox/{champion.cohort} stays empty."
        )
        stale = Alert(
            kind="stale",
            cohort=champion.cohort,
            severity="warning",
            title=title,
            text=text,
            at=now.isoformat(),
            cause=since,
        )
        return [stale]

    def _described(self, cohort: str) -> CohortSpec:
        return self.descriptions.of(self.catalogue, cohort, self.settings)

    def _champion(self, cohort: str) -> Champion | None:
        try:
            return champion_pointer.current(self.settings, cohort)
        except champion_pointer.ChampionError as error:
            _log.warning("Alerts: %s", error.message)
            return None

    def _named(self, cohort: str) -> str:
        """The cohort's name, with a word where its records are made up."""
        try:
            return f"{cohort} (synthetic)" if self._described(cohort).synthetic else cohort
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
        stored = WatchedState.read(settings.alerts / "watched.json")
        return Seen(seq=stored.seq, lights=dict(stored.lights))
    except FileNotFoundError:
        return Seen()
    except (BadDocument, NewerFormat):
        _log.warning("data/alerts/watched.json cannot be read; the present state counts as new.")
        return Seen()


def save_seen(settings: Settings, seen: Seen) -> None:
    """Keep what was looked at."""
    WatchedState(seq=seen.seq, lights=seen.lights).write(settings.alerts / "watched.json", mode=PRIVATE)


def _shorter(before: int, head: int, now: datetime) -> Alert:
    title = "The audit ledger became shorter"
    text = (
        f"It had {before} entries and has {head}. Entries are never taken out: run `clinical-assets audit verify`, "
        "find out who wrote the database, and restore the newest backup."
    )
    return Alert(
        kind="ledger",
        cohort=None,
        severity="critical",
        title=title,
        text=text,
        at=now.isoformat(),
        cause=f"{before} {head} {now.date()}",
    )
