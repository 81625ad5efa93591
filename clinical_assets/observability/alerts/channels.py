"""Where alerts go: the log, e-mail and chat by apprise, webhooks, Sentry. Each takes several alerts as one message.

What belongs here: from an address in the settings to one receiver, and handing alerts over. What does not: what is sent
and when it is tried again (``alerts``). Addresses may hold passwords: names of channels and errors have none of them.
One channel is one receiver, so that a receiver that took an alert does not get it again because another did not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, parse_qs, urlsplit

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import ALERT_URLS, SENTRY_DSN, Settings
from clinical_assets.observability.alerts.alert import Alert

if TYPE_CHECKING:
    import apprise


SIGNATURE, TIMESTAMP = "X-Clinical-Assets-Signature", "X-Clinical-Assets-Timestamp"
TIMEOUT_S = 5.0
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PORTS = {"smtp": 25, "smtps": 465}
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
# They write whole addresses into the log, and the address of a webhook is often its password.
_TALKATIVE = ("httpx", "httpcore", "urllib3")
_ANSWER = re.compile(r"(?:error=|refused: |\()(\d{3})\b")
_log = logging.getLogger("clinical_assets.alerts")


class DeliveryFailed(ClinicalAssetsError):
    """A receiver that did not take alerts."""


class Channel(Protocol):
    """A receiver of alerts."""

    @property
    def name(self) -> str:
        """Which receiver, without a password."""

    def send(self, alerts: Sequence[Alert]) -> None:
        """Hand alerts over as one message.

        Raises
        ------
        DeliveryFailed
            The receiver did not take them.
        """


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The log, and every receiver that the settings name. An address that cannot be used is a channel that fails."""
    for talkative in _TALKATIVE:
        logger = logging.getLogger(talkative)
        logger.setLevel(max(logger.level, logging.WARNING))
    channels: list[Channel] = [Log()]
    for number, url in enumerate(settings.alert_urls, start=1):
        try:
            channels += _channels(url, number=number, secret=settings.alert_secret)
        except (DeliveryFailed, ValueError) as error:
            why = f"{error}" if isinstance(error, DeliveryFailed) else "It is no address."
            channels.append(Unusable(f"address {number}", why))
    if settings.sentry_dsn is not None:
        channels.append(Sentry(settings.sentry_dsn))
    return tuple(channels)


def _channels(url: str, *, number: int, secret: str | None) -> Iterator[Channel]:
    parts = urlsplit(url)
    name = f"{parts.scheme}://{parts.hostname or '?'}"
    if parts.scheme in _PORTS:
        yield from _mail(parts, name=name, number=number)
    elif parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        yield Webhook(name=f"{name} ({number})", url=url, secret=secret)
    elif parts.scheme in ("http", ""):
        raise DeliveryFailed(
            f"Alerts are not sent to {parts.scheme or 'no'} addresses.",
            cure=f"Use https:// (http:// on this machine only), smtp://, smtps:// or apprise's forms in {ALERT_URLS}.",
        )
    else:
        # Of other services even the host may be a token.
        yield _chat(url, parts, name=f"{parts.scheme} ({number})")


def _mail(parts: SplitResult, *, name: str, number: int) -> Iterator[Channel]:
    query = parse_qs(parts.query)
    receivers = query.get("to", [])
    if not parts.hostname or len(query.get("from", [])) != 1 or not receivers:
        raise DeliveryFailed(
            "An e-mail address of alerts needs host, one from= and at least one to=.",
            cure=f"Write smtp://user:password@host:587?from=a@b.org&to=c@d.org into {ALERT_URLS}.",
        )
    mode = "ssl" if parts.scheme == "smtps" else "starttls"
    if parts.scheme == "smtp" and (parts.hostname in _LOCAL or query.get("mode") == ["insecure"]):
        mode = "insecure"
    if mode == "insecure" and parts.username and parts.hostname not in _LOCAL:
        raise DeliveryFailed(
            "A password must not be sent in clear to another machine.",
            cure="Take mode=insecure away, or use smtps:// or a mail server that asks for no password.",
        )
    cure = None
    if mode == "starttls":
        cure = (
            "The mail server must offer STARTTLS with a certificate that is trusted here; in the house, without a "
            "password, &mode=insecure does without."
        )
    for place, receiver in enumerate(receivers, start=1):
        address = {
            "schema": "mailto",
            "host": parts.hostname,
            "smtp_host": parts.hostname,
            "port": parts.port or _PORTS[parts.scheme],
            "secure_mode": mode,
            "user": parts.username,
            "password": parts.password,
            "from_addr": query["from"][0],
            "targets": [receiver],
        }
        which = f"{number}.{place}" if len(receivers) > 1 else f"{number}"
        yield AppriseReceiver(f"{name} ({which})", _service(address), cure)


def _chat(url: str, parts: SplitResult, *, name: str) -> Channel:
    service = _service(url)
    protocol: str | tuple[str, ...] | None = service.protocol
    plain = (protocol,) if isinstance(protocol, str) else protocol or ()
    if parts.scheme in plain and parts.hostname not in _LOCAL:
        raise DeliveryFailed(
            f"{parts.scheme}:// sends without encryption.",
            cure=f"Use its encrypted form in {ALERT_URLS}; apprise's list of services names it.",
        )
    if len(service) != 1:
        raise DeliveryFailed(
            f"The {parts.scheme}:// address names {len(service)} receivers.",
            cure=f"Write one address per receiver into {ALERT_URLS}, separated by commas.",
        )
    return AppriseReceiver(name, service, None)


def _service(address: str | dict[str, Any]) -> apprise.NotifyBase:
    """A receiver of apprise that fails fast, keeps nothing on disk and writes nothing into the log.

    Raises
    ------
    DeliveryFailed
        Apprise cannot make a receiver of the address.
    """
    import apprise

    # Its words repeat addresses and what servers answer: they go to no log, and `send` reads what it needs of them.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(
        app_id="clinical_assets",
        async_mode=False,
        http_redirects=False,  # they could lead out of the house, or to http
        image_url_mask="",
        pgp_autogen=False,
        service_timeout=0,  # its timeout leaves the work going on in a thread: an alert could come twice
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if service is None:
        raise DeliveryFailed(
            "Apprise cannot use the address.",
            cure=f"Look its form up in apprise's list of services (`apprise --details`), and correct {ALERT_URLS}.",
        )
    service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_S
    service.overflow_mode = apprise.OverflowMode.SPLIT  # a service with short messages gets several
    return service


@dataclass(frozen=True)
class Log:
    """The process's log; never fails."""

    name: str = "log"

    def send(self, alerts: Sequence[Alert]) -> None:
        """One line per alert."""
        for each in alerts:
            _log.log(_LEVELS[each.severity], "%s [%s] %s", each.title, each.kind, each.text)


@dataclass(frozen=True)
class Unusable:
    """An address that cannot be used."""

    name: str
    why: str

    def send(self, alerts: Sequence[Alert]) -> None:
        """Fail, so that somebody reads why in the log."""
        raise DeliveryFailed(f"{len(alerts)} alerts wait. {self.why}")


@dataclass(frozen=True)
class AppriseReceiver:
    """One receiver of a service that apprise speaks to."""

    name: str
    service: apprise.NotifyBase = field(repr=False)
    cure: str | None = None

    def send(self, alerts: Sequence[Alert]) -> None:
        """One message with all alerts."""
        import apprise

        courier = apprise.Apprise(asset=self.service.asset)
        courier.add(self.service)
        result = courier.notify(
            title=f"[clinical_assets] {subject(alerts)}",
            body="\n\n".join(f"{each.title}\n{each.at[:19]} UTC, {each.severity}\n\n{each.text}" for each in alerts),
            body_format=apprise.NotifyFormat.TEXT,
            notify_type=_worst(alerts),
            log_level=logging.DEBUG,
        )
        if not result:
            # Only the number of an answer, as services of HTTP and SMTP log it: the words repeat addresses.
            answer = _ANSWER.search(" ".join(entry.message for entry in result.logs()))
            why = f"it answered {answer[1]}" if answer else "no connection, no encryption, or no login"
            raise DeliveryFailed(f"the message was not taken: {why}", cure=self.cure)


@dataclass(frozen=True)
class Webhook:
    """JSON by HTTP POST, signed where there is a secret.

    The signature is HMAC-SHA256 over ``<timestamp>.<body>``; the timestamp is in a header of its own, so that a
    receiver can refuse an old message. Apprise's own JSON form has no signature, therefore this one.
    """

    name: str
    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    def send(self, alerts: Sequence[Alert]) -> None:
        """One request with all alerts."""
        import httpx

        body = json.dumps({"version": 1, "alerts": [each.payload() for each in alerts]}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "clinical-assets"}
        if self.secret is not None:
            stamp = str(int(time.time()))
            headers |= {TIMESTAMP: stamp, SIGNATURE: signature(self.secret, stamp, body)}
        try:
            # Redirects are not followed: they could lead out of the house, or to http.
            answer = httpx.post(self.url, content=body, headers=headers, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryFailed(f"it did not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise DeliveryFailed(f"it answered {answer.status_code}")


@dataclass(frozen=True)
class Sentry:
    """Sentry, where its package is installed. Nothing of the process goes along: no variables, no breadcrumbs.

    A client of our own, and not the SDK's logging integration: that one sends every line of the process's log, whose
    words nobody vouches for, and does not say whether an event arrived.
    """

    dsn: str = field(repr=False)
    name: str = "sentry"

    def send(self, alerts: Sequence[Alert]) -> None:
        """One event per alert."""
        try:
            import sentry_sdk
            from sentry_sdk.transport import HttpTransport
            from sentry_sdk.utils import BadDsn
        except ModuleNotFoundError:
            raise DeliveryFailed(
                "sentry-sdk is not installed", cure=f"pip install 'clinical-assets[sentry]', or unset {SENTRY_DSN}."
            ) from None
        lost: list[str] = []

        class Counting(HttpTransport):
            """Sends in the background as its parent does; what it loses is only said here."""

            def record_lost_event(self, reason: str, *_: Any, **__: Any) -> None:
                lost.append(reason)

        try:
            client = sentry_sdk.Client(
                dsn=self.dsn,
                transport=Counting,
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_breadcrumbs=0,
                server_name="clinical_assets",
                shutdown_timeout=TIMEOUT_S,
            )
        except BadDsn:
            raise DeliveryFailed("the DSN cannot be used", cure=f"Correct {SENTRY_DSN}.") from None
        for each in alerts:
            client.capture_event(
                {
                    "message": f"{each.title}\n{each.text}",
                    "level": "fatal" if each.severity == "critical" else each.severity,
                    "tags": {"kind": each.kind, "cohort": each.cohort or "platform"},
                    "fingerprint": [each.kind, each.cohort or "platform", each.cause],
                }
            )
        client.close(timeout=TIMEOUT_S)
        if lost:
            raise DeliveryFailed(f"{len(lost)} events were lost ({lost[0]})")


def _worst(alerts: Sequence[Alert]) -> str:
    """Apprise's word for the most severe of several alerts."""
    severities = {each.severity for each in alerts}
    return "failure" if "critical" in severities else "warning" if "warning" in severities else "info"


def subject(alerts: Sequence[Alert]) -> str:
    """One line for several alerts."""
    return alerts[0].title if len(alerts) == 1 else f"{len(alerts)} alerts, first: {alerts[0].title}"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=<hex>``: HMAC-SHA256 (RFC 2104) over timestamp, a dot, and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
