"""Where alerts go: the log, e-mail, webhooks, Sentry. Each takes several alerts as one message.

What belongs here: speaking to one receiver, with a timeout and a second try. What does not: what is sent and when it
is tried again (``alerts``). Addresses may hold passwords, so that names of channels and errors have none of them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import ALERT_URLS, SENTRY_DSN

if TYPE_CHECKING:
    import smtplib

    from clinical_assets.serving.alerts import Alert
    from clinical_assets.settings import Settings

SIGNATURE, TIMESTAMP = "X-Clinical-Assets-Signature", "X-Clinical-Assets-Timestamp"
TIMEOUT_S = 5.0
_TRIES, _PAUSE_S = 2, 0.5
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PORTS = {"smtp": 25, "smtps": 465}
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
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
    channels: list[Channel] = [Log()]
    for number, url in enumerate(settings.alert_urls, start=1):
        try:
            parts = urlsplit(url)
            name = f"{parts.scheme}://{parts.hostname or '?'} ({number})"
            channels.append(_channel(parts, url, name=name, secret=settings.alert_secret))
        except ValueError:
            channels.append(Unusable(f"address {number}", "It is no address."))
        except DeliveryFailed as error:
            channels.append(Unusable(name, str(error)))
    if settings.sentry_dsn is not None:
        channels.append(Sentry(settings.sentry_dsn))
    return tuple(channels)


def _channel(parts: SplitResult, url: str, *, name: str, secret: str | None) -> Channel:
    if parts.scheme in _PORTS:
        query = parse_qs(parts.query)
        if not parts.hostname or len(query.get("from", [])) != 1 or not query.get("to"):
            raise DeliveryFailed(
                "An e-mail address of alerts needs host, one from= and at least one to=.",
                cure=f"Write smtp://user:password@host:587?from=a@b.org&to=c@d.org into {ALERT_URLS}.",
            )
        return Mail(
            name=name,
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            encrypted=parts.scheme == "smtps",
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sender=query["from"][0],
            receivers=tuple(query["to"]),
        )
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return Webhook(name=name, url=url, secret=secret)
    raise DeliveryFailed(
        f"Alerts are not sent to {parts.scheme or 'no'} addresses.",
        cure=f"Use https:// (http:// on this machine only), smtp:// or smtps:// in {ALERT_URLS}.",
    )


@dataclass(frozen=True)
class Log:
    """The process's log; never fails."""

    name: str = "log"

    def send(self, alerts: Sequence[Alert]) -> None:
        """One line an alert."""
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
class Mail:
    """E-mail by SMTP. A password goes over TLS only, except on this machine."""

    name: str
    host: str
    port: int
    encrypted: bool
    sender: str
    receivers: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def send(self, alerts: Sequence[Alert]) -> None:
        """One message with all alerts."""
        import smtplib

        message = EmailMessage()
        message["Subject"] = f"[clinical_assets] {subject(alerts)}"
        message.set_content(
            "\n\n".join(f"{each.title}\n{each.at[:19]} UTC, {each.severity}\n\n{each.text}" for each in alerts)
        )
        try:
            message["From"], message["To"] = self.sender, ", ".join(self.receivers)
            with self._opened() as server:
                refused = server.send_message(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # An SMTP error repeats what the server said, which may repeat addresses; its kind is enough. A ValueError
            # is an address or a password that mail cannot carry.
            raise DeliveryFailed(f"the mail server did not take the message ({type(error).__name__})") from error
        if refused:
            # Not tried again, because the others have it.
            _log.error("%s: %d of %d receivers were refused.", self.name, len(refused), len(self.receivers))

    def _opened(self) -> smtplib.SMTP:
        import smtplib

        context = ssl.create_default_context()
        if self.encrypted:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        try:
            server.ehlo()
            secure = self.encrypted
            if not secure and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                secure = True
            if self.user is not None:
                if not secure and self.host not in _LOCAL:
                    raise DeliveryFailed(
                        "the mail server offers no encryption, and a password must not be sent in clear",
                        cure="Use smtps://, or a server that offers STARTTLS.",
                    )
                server.login(self.user, self.password or "")
        except BaseException:
            server.close()
            raise
        return server


@dataclass(frozen=True)
class Webhook:
    """JSON by HTTP POST, signed where there is a secret.

    The signature is HMAC-SHA256 over ``<timestamp>.<body>``; the timestamp is in a header of its own, so that a
    receiver can refuse an old message.
    """

    name: str
    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    def send(self, alerts: Sequence[Alert]) -> None:
        """One request with all alerts; a second try where the receiver is away or overloaded."""
        import httpx

        # They write whole addresses into the log, and a webhook's address is often its password.
        for talkative in ("httpx", "httpcore"):
            logger = logging.getLogger(talkative)
            logger.setLevel(max(logger.level, logging.WARNING))
        body = json.dumps({"version": 1, "alerts": [told(each) for each in alerts]}, ensure_ascii=False).encode()
        for attempt in range(1, _TRIES + 1):
            try:
                # Redirects are not followed: they could lead out of the house, or to http.
                answer = httpx.post(self.url, content=body, headers=self._headers(body), timeout=TIMEOUT_S)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                problem, again = f"it did not answer ({type(error).__name__})", True
            else:
                if answer.is_success:
                    return
                problem, again = (
                    f"it answered {answer.status_code}",
                    answer.status_code in (408, 429) or answer.is_server_error,
                )
            if not again:
                break
            if attempt < _TRIES:
                time.sleep(_PAUSE_S)
        raise DeliveryFailed(problem)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "clinical-assets"}
        if self.secret is not None:
            stamp = str(int(time.time()))
            headers |= {TIMESTAMP: stamp, SIGNATURE: signature(self.secret, stamp, body)}
        return headers


@dataclass(frozen=True)
class Sentry:
    """Sentry, where its package is installed. Nothing of the process goes along: no variables, no breadcrumbs."""

    dsn: str = field(repr=False)
    name: str = "sentry"

    def send(self, alerts: Sequence[Alert]) -> None:
        """One event an alert."""
        try:
            import sentry_sdk
            from sentry_sdk.utils import BadDsn
        except ModuleNotFoundError:
            raise DeliveryFailed(
                "sentry-sdk is not installed", cure=f"pip install 'clinical-assets[sentry]', or unset {SENTRY_DSN}."
            ) from None
        # The SDK sends in the background and tells of failures only by counting what it lost.
        lost: list[str] = []
        try:
            client = sentry_sdk.Client(
                dsn=self.dsn,
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_breadcrumbs=0,
                server_name="clinical_assets",
                shutdown_timeout=TIMEOUT_S,
            )
        except BadDsn:
            raise DeliveryFailed("the DSN cannot be used", cure=f"Correct {SENTRY_DSN}.") from None
        if client.transport is not None:
            client.transport.record_lost_event = lambda reason, *_, **__: lost.append(reason)  # type: ignore[method-assign]
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


def told(alert: Alert) -> dict[str, Any]:
    """An alert as webhooks get it; ``id`` is the same at every try."""
    return {"id": alert.key, **asdict(alert)}


def subject(alerts: Sequence[Alert]) -> str:
    """One line for several alerts."""
    return alerts[0].title if len(alerts) == 1 else f"{len(alerts)} alerts, first: {alerts[0].title}"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=<hex>``: HMAC-SHA256 (RFC 2104) over timestamp, a dot, and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
