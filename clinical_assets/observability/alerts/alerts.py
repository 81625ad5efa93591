"""The outbox of alerts: each is sent once, and tried again until every receiver has it.

What belongs here: which alerts are new, delivery, when it is tried again, the entry in the ledger. What does not: how a
receiver is spoken to (``channels``), what is worth an alert (``watch``). Grouping, silence and on-call
duty are Alertmanager's, on the rules under ``deploy/prometheus``.

``data/alerts/waiting/`` holds what is not delivered everywhere yet, ``sent/`` what is, ``given_up/`` what some channel
did not take for a week. A file's name is a digest of kind, cohort and cause: the same alert is never sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat, VersionedDocument
from clinical_assets.observability.alerts.alert import Alert
from clinical_assets.observability.alerts.channels import Channel, DeliveryFailed, channels_of
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.facts.installation import AlertFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import copied_from

ACTOR = "automation:alerts"
#: Alerts of one round: a message that a person can read, and a tick that ends in time.
MOST_AT_ONCE = 100
_GIVE_UP = timedelta(days=7)
_LONGEST_PAUSE_S = 3600.0
_FIRST_PAUSE_S = 30.0
_log = logging.getLogger(__name__)


class AlertsBusy(ClinicalAssetsError):
    """Another process is writing or delivering alerts for longer than one waits."""


class Posted(VersionedDocument):
    """An alert in the outbox; content of its file.

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
    with _held(settings, ".lock", patience_s=60.0):
        for alert in alerts:
            places = [settings.alerts / name / f"{alert.key}.json" for name in ("waiting", "sent", "given_up")]
            if not any(place.exists() for place in places):
                _write(places[0], Posted(alert=alert, delivered={}, tries=0, next_try=alert.at, recorded=False))
                new.append(alert)
    return tuple(new)


def deliver(settings: Settings, *, now: datetime | None = None, at_once: int = MOST_AT_ONCE) -> tuple[Alert, ...]:
    """Try every channel that has not yet taken an alert that is due, with one message per channel.

    A copy of an installation delivers nothing: its alerts wait, so that nobody is told twice, or of a test. While
    another process delivers, nothing is done: it, or the next round, delivers what is new. A process that is
    killed between sending and noting it sends again; a webhook's ``id`` is the same then. Each alert leaves an entry in
    the audit ledger at its first round. A channel that fails is logged and tried again later, with pauses that grow to
    an hour; after a week it is given up.

    Parameters
    ----------
    settings : Settings
        Where alerts wait, and where they go.
    now : datetime, optional
        Instead of the present moment.
    at_once : int
        Alerts of one round, at least 1; the oldest first.

    Returns
    -------
    tuple of Alert
        Those that every channel has taken by now.
    """
    moment = now or datetime.now(UTC)
    waiting = settings.alerts / "waiting"
    if not waiting.is_dir():
        return ()
    if (original := _original(settings)) is not None:
        _log.warning("%s is a copy of %s: its alerts wait, nobody is told of them.", settings.data, original)
        return ()
    try:
        # A lock of its own: posting must not wait for slow receivers.
        with _held(settings, ".delivering", patience_s=0.0):
            posted = [each for path in waiting.glob("*.json") if (each := _read(path)) is not None]
            due = [each for each in posted if datetime.fromisoformat(each.next_try) <= moment]
            due = sorted(due, key=lambda each: (each.alert.at, each.alert.key))[:at_once]
            return _round(settings, due, moment) if due else ()
    except AlertsBusy:
        return ()


def _original(settings: Settings) -> str | None:
    try:
        return copied_from(settings)
    except RecordsError as error:
        # Silence is worse than an alert too many.
        _log.error("%s", error.message)
        return None


def _round(settings: Settings, due: list[Posted], moment: datetime) -> tuple[Alert, ...]:
    channels = channels_of(settings)
    for channel in channels:
        due = _handed_over(channel, due, moment)
    names = [channel.name for channel in channels]
    if _recorded(settings, [each for each in due if not each.recorded], names):
        due = [each.model_copy(update={"recorded": True}) for each in due]
    done = []
    for each in due:
        missing = [name for name in names if name not in each.delivered]
        pause = min(_FIRST_PAUSE_S * 2 ** min(each.tries, 10), _LONGEST_PAUSE_S)
        next_try = (moment + timedelta(seconds=pause)).isoformat()
        tried = each.model_copy(update={"tries": each.tries + 1, "next_try": next_try})
        if not missing and each.recorded:
            _move(settings, tried, "sent")
            done.append(each.alert)
        elif moment - datetime.fromisoformat(each.alert.at) > _GIVE_UP:
            _log.error("Alert %r is given up: %s never took it.", each.alert.title, ", ".join(missing) or "ledger")
            _move(settings, tried, "given_up")
        else:
            _write(settings.alerts / "waiting" / f"{each.alert.key}.json", tried)
    return tuple(done)


def _handed_over(channel: Channel, due: list[Posted], moment: datetime) -> list[Posted]:
    """Give a channel what it does not have yet; all of it counts as delivered, or nothing."""
    mine = [each.alert for each in due if channel.name not in each.delivered]
    if not mine:
        return due
    try:
        channel.send(mine)
    except DeliveryFailed as error:
        _log.warning("%d alerts could not be delivered to %s: %s", len(mine), channel.name, error)
        return due
    at = moment.isoformat()
    return [each.model_copy(update={"delivered": {channel.name: at, **each.delivered}}) for each in due]


def _recorded(settings: Settings, posted: Sequence[Posted], channels: Sequence[str]) -> bool:
    """Enter alerts into the audit ledger, all in one transaction: each commit waits for the disk."""
    if not posted:
        return True
    records = RecordsDatabase(settings)
    ledger = Ledger(records)
    try:
        with records.write() as connection:
            for each in posted:
                facts = AlertFacts(
                    kind=each.alert.kind,
                    severity=each.alert.severity,
                    cause=each.alert.cause,
                    delivered=tuple(sorted(each.delivered)),
                    not_delivered_yet=tuple(sorted(set(channels) - each.delivered.keys())),
                )
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
        return False
    return True


def _held(settings: Settings, name: str, *, patience_s: float) -> AbstractContextManager[None]:
    return hold(settings.alerts / name, wanted="the alerts", patience_s=patience_s, error=AlertsBusy)


def _read(path: Path) -> Posted | None:
    try:
        return Posted.read(path)
    except (BadDocument, NewerFormat) as error:
        _log.error("%s is no alert and is left alone. Remove it. %s", path, error.message)
        return None


def _write(path: Path, posted: Posted) -> None:
    posted.write(path, mode=PRIVATE)


def _move(settings: Settings, posted: Posted, name: str) -> None:
    _write(settings.alerts / name / f"{posted.alert.key}.json", posted)
    (settings.alerts / "waiting" / f"{posted.alert.key}.json").unlink()
