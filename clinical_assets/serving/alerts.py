"""Alerts: what a person should know without asking, told once, and told again until somebody has received it.

What belongs here: what an alert is, the outbox, when delivery is tried again. What does not: how a channel speaks
(``alert_channels``), what is worth an alert (``alert_watch``).

An alert names cohort, kind, counts and places; never an identifier, a value of a record or a free text that somebody
wrote. ``data/alerts/waiting/`` holds what is not delivered everywhere yet, ``sent/`` what is, ``given_up/`` what no
channel took for a week. A file's name is a digest of kind, cohort and cause: the same alert is never sent twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import filelock

from clinical_assets.records.refusals import RecordsError

if TYPE_CHECKING:
    from clinical_assets.serving.alert_channels import Channel
    from clinical_assets.settings import Settings
from clinical_assets.whole_files import PRIVATE, write_whole

Severity = Literal["info", "warning", "critical"]
Kind = Literal[
    "run_failed",
    "gate_failed",
    "promotion",
    "rollback",
    "data_quality",
    "drift",
    "performance",
    "fairness",
    "recommendation",
    "stale",
    "ledger",
]
ACTOR = "automation:alerts"
#: Alerts of one round: a message that a person can read, and a tick that ends in time.
MOST_AT_ONCE = 100
_GIVE_UP = timedelta(days=7)
_LONGEST_PAUSE_S = 3600.0
_FIRST_PAUSE_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    """Something that happened, in words that may leave the machine.

    Attributes
    ----------
    kind : str
    cohort : str or None
        None where the whole platform is meant.
    severity : "info", "warning" or "critical"
    title, text : str
        One line, and what to do about it.
    at : str
        ISO 8601, UTC.
    cause : str
        What makes it the same alert: kind, cohort and cause are told once.
    """

    kind: Kind
    cohort: str | None
    severity: Severity
    title: str
    text: str
    at: str
    cause: str

    @property
    def key(self) -> str:
        """A digest of kind, cohort and cause."""
        return hashlib.sha256("\n".join((self.kind, self.cohort or "", self.cause)).encode()).hexdigest()[:40]


@dataclass
class Posted:
    """An alert in the outbox.

    Attributes
    ----------
    delivered : dict
        Channel to the time at which it took the alert.
    tries : int
        Rounds of delivery so far.
    next_try : str
        Not before this moment, UTC.
    recorded : bool
        Whether the audit ledger has its entry.
    """

    alert: Alert
    delivered: dict[str, str]
    tries: int
    next_try: str
    recorded: bool


def post(settings: Settings, alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """Put alerts into the outbox; those that were there before, sent or not, are left out.

    Returns
    -------
    tuple of Alert
        The new ones.
    """
    if not alerts:
        return ()
    new = []
    with _lock(settings, ".lock"):
        for alert in alerts:
            places = [_folder(settings, name) / f"{alert.key}.json" for name in ("waiting", "sent", "given_up")]
            if any(place.exists() for place in places):
                continue
            _write(places[0], Posted(alert, {}, 0, alert.at, False))
            new.append(alert)
    return tuple(new)


def deliver(settings: Settings, *, now: datetime | None = None) -> tuple[Alert, ...]:
    """Try every channel that has not yet taken an alert that is due; one message a channel for up to `MOST_AT_ONCE`.

    A process that is killed between sending and noting it sends again; a webhook's ``id`` is the same then. While
    another process delivers, nothing is done: it, or the next round, delivers what is new. Each alert
    leaves an entry in the audit ledger at its first round. A channel that fails is logged and tried again
    later, with pauses that grow to an hour; after a week it is given up.

    Returns
    -------
    tuple of Alert
        Those that every channel has taken by now.
    """
    from clinical_assets.serving.alert_channels import channels_of

    moment = now or datetime.now(UTC)
    waiting = _folder(settings, "waiting")
    if not waiting.is_dir() or not any(waiting.glob("*.json")):
        return ()
    with contextlib.ExitStack() as stack:
        try:
            # A lock of its own: whoever posts must not wait for receivers that are slow.
            stack.enter_context(_lock(settings, ".delivering", patience_s=0.0))
        except filelock.Timeout:
            return ()
        posted = [each for each in map(_read, sorted(waiting.glob("*.json"))) if each is not None]
        due = [each for each in posted if datetime.fromisoformat(each.next_try) <= moment]
        if not due:
            return ()
        due = sorted(due, key=lambda each: (each.alert.at, each.alert.key))[:MOST_AT_ONCE]
        channels = channels_of(settings)
        failed = {channel.name for channel in channels if not _told(channel, due, moment)}
        _record(settings, [each for each in due if not each.recorded], failed)
        done = []
        for each in due:
            each.tries += 1
            missing = [channel.name for channel in channels if channel.name not in each.delivered]
            if not missing and each.recorded:
                _move(settings, each, "sent")
                done.append(each.alert)
            elif moment - datetime.fromisoformat(each.alert.at) > _GIVE_UP:
                _log.error("Alert %r is given up: %s never took it.", each.alert.title, ", ".join(missing) or "ledger")
                _move(settings, each, "given_up")
            else:
                pause = min(_FIRST_PAUSE_S * 2 ** min(each.tries - 1, 10), _LONGEST_PAUSE_S)
                each.next_try = (moment + timedelta(seconds=pause)).isoformat()
                _write(_folder(settings, "waiting") / f"{each.alert.key}.json", each)
    return tuple(done)


def _told(channel: Channel, due: Sequence[Posted], moment: datetime) -> bool:
    from clinical_assets.serving.alert_channels import DeliveryFailed

    mine = [each for each in due if channel.name not in each.delivered]
    if not mine:
        return True
    try:
        channel.send([each.alert for each in mine])
    except DeliveryFailed as error:
        _log.warning("%d alerts could not be delivered to %s: %s", len(mine), channel.name, error)
        return False
    for each in mine:
        each.delivered[channel.name] = moment.isoformat()
    return True


def _record(settings: Settings, posted: Sequence[Posted], failed: set[str]) -> None:
    """One entry an alert in the audit ledger, all in one transaction: each commit waits for the disk."""
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    if not posted:
        return
    records = RecordsDatabase(settings)
    ledger = Ledger(records)
    try:
        with records.write() as connection:
            for each in posted:
                facts: dict[str, Any] = {
                    "kind": each.alert.kind,
                    "severity": each.alert.severity,
                    "cause": each.alert.cause,
                    "delivered": sorted(each.delivered),
                    "not_delivered_yet": sorted(failed - each.delivered.keys()),
                }
                ledger.append(
                    "alert",
                    actor=ACTOR,
                    cohort=each.alert.cohort,
                    reason=each.alert.title,
                    facts=facts,
                    connection=connection,
                )
    except RecordsError as error:
        # A broken ledger is a reason for an alert, not against one.
        _log.error("%d alerts could not be entered into the audit ledger yet: %s", len(posted), error)
        return
    for each in posted:
        each.recorded = True


def _lock(settings: Settings, name: str, *, patience_s: float = 60.0) -> filelock.BaseFileLock:
    settings.alerts.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(settings.alerts / name, timeout=patience_s)


def _folder(settings: Settings, name: str) -> Path:
    return settings.alerts / name


def _read(path: Path) -> Posted | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Posted(**{**told, "alert": Alert(**told["alert"])})
    except (ValueError, TypeError, KeyError) as error:
        _log.error("%s is no alert and is left alone: %s. Remove it.", path, type(error).__name__)
        return None


def _move(settings: Settings, posted: Posted, name: str) -> None:
    _write(_folder(settings, name) / f"{posted.alert.key}.json", posted)
    (_folder(settings, "waiting") / f"{posted.alert.key}.json").unlink()


def _write(path: Path, posted: Posted) -> None:
    write_json(path, asdict(posted))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a small file in one step."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False), mode=PRIVATE)
