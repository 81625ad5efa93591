"""An alert reaches every receiver once, waits for those that are away, and is entered into the ledger."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import logging
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.worlds.machine.receivers import MailSink, WebSink, mail_sink
from assets_tests.worlds.ward.state import State
from clinical_assets.foundation.settings import ALERT_SECRET, ALERT_URLS, SENTRY_DSN, Settings
from clinical_assets.observability.alerts.alert import Alert
from clinical_assets.observability.alerts.alerts import deliver, post
from clinical_assets.observability.alerts.channels import SIGNATURE, TIMESTAMP, DeliveryFailed, channels_of, signature

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def alert(cause: str = "one", **changes: Any) -> Alert:
    made = Alert(
        kind="drift",
        cohort="made_up_ward",
        severity="warning",
        title=f"Title {cause}",
        text="Look.",
        at=NOW.isoformat(),
        cause=cause,
    )
    return made.model_copy(update=changes)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def with_urls(state: State, *urls: str, **more: Any) -> Settings:
    return replace(state.settings, alert_urls=urls, **more)


def text_of(message: Message) -> str:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode("utf-8")


def mail_url(mails: MailSink, *, user: str = "") -> str:
    return f"smtp://{user}127.0.0.1:{mails.port}?from=platform@example.org&to=ann@example.org&to=bob@example.org"


def test_mail_and_webhook_get_all_new_alerts_as_one_message_each(state: State, mails: MailSink, web: WebSink) -> None:
    settings = with_urls(state, mail_url(mails), f"http://127.0.0.1:{web.port}/hook")
    assert len(post(settings, [alert("one"), alert("two")])) == 2
    assert {each.cause for each in deliver(settings, now=NOW)} == {"one", "two"}
    assert [message["To"] for message in mails.messages] == ["ann@example.org", "bob@example.org"]
    for message in mails.messages:
        assert message["From"] == "platform@example.org"
        assert message["Subject"].startswith("[clinical_assets] 2 alerts")
        text = text_of(message)
        assert "Title one\n2030-01-01T00:00:00 UTC, warning\n\nLook." in text
        assert "Title two" in text
    ((path, _, body),) = web.requests
    assert path == "/hook"
    assert [each["cause"] for each in json.loads(body)["alerts"]] == sorted(
        ["one", "two"], key=lambda cause: alert(cause).key
    )


def test_a_storm_is_sent_in_portions_and_every_alert_arrives_once(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    post(settings, [alert(str(number)) for number in range(10)])
    assert [len(deliver(settings, now=NOW, at_once=4)) for _ in range(4)] == [4, 4, 2, 0]
    told = [each["cause"] for _, _, body in web.requests for each in json.loads(body)["alerts"]]
    assert sorted(told, key=int) == [str(number) for number in range(10)]
    assert len(state.ledger.entries(action="alert")) == 10
    assert state.ledger.verify().intact


def test_the_same_alert_is_sent_once_however_often_it_is_posted(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    for _ in range(3):
        post(settings, [alert(), alert()])
        deliver(settings, now=NOW)
    # Time, words and severity do not make it another one; cause, cohort and kind do.
    post(settings, [alert(title="In other words", at=(NOW + timedelta(days=1)).isoformat(), severity="info")])
    deliver(settings, now=NOW + timedelta(days=1))
    assert len(web.requests) == 1
    for other in (alert("two"), alert(cohort="another"), alert(kind="stale")):
        assert post(settings, [other]) == (other,)
    deliver(settings, now=NOW)
    assert len(web.requests) == 2


def test_every_alert_leaves_one_entry_in_the_ledger(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    web.answers = [500]
    post(settings, [alert()])
    for hour in range(3):
        deliver(settings, now=NOW + timedelta(hours=hour))
    (entry,) = state.ledger.entries(action="alert")
    assert (entry.actor, entry.cohort, entry.reason) == ("automation:alerts", "made_up_ward", "Title one")
    assert entry.facts["delivered"] == ["log"]
    assert entry.facts["not_delivered_yet"] == ["http://127.0.0.1 (1)"]


def test_a_receiver_that_is_away_gets_the_alert_later_and_the_others_do_not_get_it_twice(
    state: State, mails: MailSink, web: WebSink, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_urls(state, mail_url(mails), f"http://127.0.0.1:{web.port}/")
    web.answers = [503]
    mails.refuse = ("bob@example.org",)
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert "could not be delivered to http://127.0.0.1 (2): it answered 503" in caplog.text
    assert "could not be delivered to smtp://127.0.0.1 (1.2): the message was not taken: it answered 550" in caplog.text
    mails.refuse = ()
    # Not due yet: nobody is asked again within the pause.
    deliver(settings, now=NOW + timedelta(seconds=1))
    assert len(web.requests) == 1
    assert [each.cause for each in deliver(settings, now=NOW + timedelta(minutes=1))] == ["one"]
    assert len(web.requests) == 2
    assert [message["To"] for message in mails.messages] == ["ann@example.org", "bob@example.org"]


def test_a_dead_mail_server_gets_the_alert_when_it_is_back(state: State, caplog: pytest.LogCaptureFixture) -> None:
    port = closed_port()
    settings = with_urls(state, f"smtp://127.0.0.1:{port}?from=a@example.org&to=b@example.org")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert "no connection" in caplog.text
    with mail_sink(port=port) as mails:
        for minute in range(1, 4):
            deliver(settings, now=NOW + timedelta(minutes=minute))
        assert [message["Subject"] for message in mails.messages] == ["[clinical_assets] Title one"]


def test_a_chat_gets_the_words_by_its_address_of_apprise(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"mmost://127.0.0.1:{web.port}/3ccdd113474722377935511fc85d3dd4")
    post(settings, [alert(severity="critical")])
    assert len(deliver(settings, now=NOW)) == 1
    ((path, _, body),) = web.requests
    assert path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    assert "Title one" in json.loads(body)["text"]
    (entry,) = state.ledger.entries(action="alert")
    assert entry.facts["delivered"] == ["log", "mmost (1)"]


@pytest.mark.parametrize("scheme", ["http", "mmost"])
def test_a_redirect_is_not_followed(state: State, web: WebSink, scheme: str) -> None:
    _, receiver = channels_of(with_urls(state, f"{scheme}://127.0.0.1:{web.port}/3ccdd113474722377935511fc85d3dd4"))
    web.answers = [307]
    with pytest.raises(DeliveryFailed, match="307"):
        receiver.send([alert()])
    assert len(web.requests) == 1


def test_a_webhook_is_signed_over_time_and_body_when_there_is_a_secret(state: State, web: WebSink) -> None:
    url = f"http://127.0.0.1:{web.port}/"
    channels_of(with_urls(state, url))[1].send([alert()])
    channels_of(with_urls(state, url, alert_secret="a shared secret"))[1].send([alert()])
    (_, plain, _), (_, signed, body) = web.requests
    assert SIGNATURE.lower() not in plain
    expected = hmac.new(b"a shared secret", signed[TIMESTAMP.lower()].encode() + b"." + body, hashlib.sha256)
    assert signed[SIGNATURE.lower()] == f"sha256={expected.hexdigest()}"


@given(secret=st.text(min_size=1), stamp=st.text(alphabet="0123456789", min_size=1), body=st.binary(), flip=st.data())
def test_another_body_has_another_signature(secret: str, stamp: str, body: bytes, flip: st.DataObject) -> None:
    other = flip.draw(st.binary().filter(lambda each: each != body))
    assert signature(secret, stamp, body) != signature(secret, stamp, other)


def test_mail_logs_in_with_decoded_words_and_a_refused_receiver_is_a_failure(state: State, mails: MailSink) -> None:
    _, mail, _ = channels_of(with_urls(state, mail_url(mails, user="ann:p%40ss@")))
    mail.send([alert()])
    assert any(command.startswith("AUTH PLAIN AGFubgBwQHNz") for command in mails.commands)
    mails.refuse = ("ann@example.org",)
    _, mail, _ = channels_of(with_urls(state, mail_url(mails)))
    with pytest.raises(DeliveryFailed, match="it answered 550"):
        mail.send([alert()])


def test_mail_to_another_machine_is_encrypted_or_not_sent(state: State, mails: MailSink) -> None:
    # 0.0.0.0 reaches this machine and is none of its names.
    elsewhere = mail_url(mails, user="ann:secret@").replace("127.0.0.1", "0.0.0.0")
    for channel in channels_of(with_urls(state, elsewhere))[1:]:
        with pytest.raises(DeliveryFailed, match="STARTTLS"):
            channel.send([alert()])
    assert not any(command.split()[0] in ("AUTH", "MAIL") for command in mails.commands)
    _, unusable = channels_of(with_urls(state, f"{elsewhere}&mode=insecure"))
    with pytest.raises(DeliveryFailed, match="in clear"):
        unusable.send([alert()])
    _, plain, _ = channels_of(with_urls(state, f"{elsewhere.replace('ann:secret@', '')}&mode=insecure"))
    plain.send([alert()])
    assert len(mails.messages) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org",
        "smtp://mail.example.org",
        "smtp://mail.example.org?from=a@b.org",
        "smtp://mail.example.org?from=nobody&to=c@d.org",
        "json://example.org/hook",
        "slack://",
        "mailtos://u:p@example.org?to=a@example.org,b@example.org",
        "no address at all",
        "https://[broken",
    ],
)
def test_an_address_that_cannot_be_used_fails_by_its_name_and_keeps_no_other_from_the_alert(
    state: State, web: WebSink, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_urls(state, url, f"http://127.0.0.1:{web.port}/")
    post(settings, [alert()])
    deliver(settings, now=NOW)
    assert len(web.requests) == 1
    assert "could not be delivered" in caplog.text


def test_after_a_week_nobody_is_asked_any_more(state: State, caplog: pytest.LogCaptureFixture) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{closed_port()}/")
    post(settings, [alert()])
    deliver(settings, now=NOW)
    deliver(settings, now=NOW + timedelta(days=8))
    assert "is given up" in caplog.text
    assert list((settings.alerts / "waiting").glob("*.json")) == []
    assert post(settings, [alert()]) == ()


def test_no_password_is_in_settings_logs_or_the_ledger(
    state: State, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    monkeypatch.setenv(
        ALERT_URLS,
        f"smtp://u:SECRET1@127.0.0.1:{port}?from=a@b.org&to=c@d.org, https://127.0.0.1:{port}/SECRET2, "
        f"mmost://127.0.0.1:{port}/SECRET5SECRET5SECRET5SECRET5",
    )
    monkeypatch.setenv(ALERT_SECRET, "SECRET3")
    monkeypatch.setenv(SENTRY_DSN, f"http://SECRET4@127.0.0.1:{port}/1")
    settings = Settings.from_environment()
    assert len(settings.alert_urls) == 3
    caplog.set_level(logging.DEBUG, logger="clinical_assets")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    (entry,) = state.ledger.entries(action="alert")
    assert len(entry.facts["not_delivered_yet"]) == 4
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("clinical_assets"))
    assert ours.count("could not be delivered") == 4
    kept = "".join(path.read_text() for path in settings.alerts.rglob("*.json"))
    for text in (repr(settings), repr(channels_of(settings)), ours, str(entry), kept):
        assert "SECRET" not in text


def test_no_address_is_in_the_log_also_when_everything_is_logged(state: State, mails: MailSink, web: WebSink) -> None:
    settings = with_urls(
        state,
        f"http://127.0.0.1:{web.port}/SECRET",
        f"mmost://127.0.0.1:{web.port}/SECRET{'1' * 20}",
        mail_url(mails, user="ann:SECRET@"),
    )
    # A handler as a process has it; pytest's own listens to loggers that pass nothing on, too.
    words = io.StringIO()
    handler, root = logging.StreamHandler(words), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        post(settings, [alert()])
        assert len(deliver(settings, now=NOW)) == 1
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert len(web.requests) == 2
    assert "Title one" in words.getvalue()
    for text in ("SECRET", "ann@example.org"):
        assert text not in words.getvalue()


def test_a_password_that_mail_cannot_carry_fails_its_channel_and_no_other(
    state: State, mails: MailSink, web: WebSink, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_urls(state, mail_url(mails, user="ann:p%C3%A4ss@"), f"http://127.0.0.1:{web.port}/")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert len(web.requests) == 1
    assert "could not be delivered to smtp://127.0.0.1 (1.1)" in caplog.text


def test_who_posts_does_not_wait_for_who_delivers(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    post(settings, [alert("one")])
    with filelock.FileLock(settings.alerts / ".delivering"):
        assert len(post(settings, [alert("two")])) == 1
        assert deliver(settings, now=NOW) == ()
        assert web.requests == []
    assert {each.cause for each in deliver(settings, now=NOW)} == {"one", "two"}


def test_a_file_in_the_outbox_that_is_no_alert_is_left_alone(state: State, caplog: pytest.LogCaptureFixture) -> None:
    post(state.settings, [alert()])
    broken = state.settings.alerts / "waiting" / "broken.json"
    broken.write_text("{}")
    newer = broken.with_name("newer.json")
    newer.write_text('{"format": 2}')
    assert len(deliver(state.settings, now=NOW)) == 1
    assert broken.exists()
    assert newer.exists()
    assert caplog.text.count("is no alert") == 2
    assert "format 2" in caplog.text


def test_an_alert_that_waits_is_written_as_ever_and_one_without_a_version_is_delivered(state: State) -> None:
    post(state.settings, [alert(title="Wärme")])
    (path,) = (state.settings.alerts / "waiting").glob("*.json")
    content = {"alert": asked(alert(title="Wärme")), "delivered": {}, "tries": 0}
    content |= {"next_try": NOW.isoformat(), "recorded": False}
    assert path.read_text() == json.dumps({"format": 1, **content}, indent=1, ensure_ascii=False) + "\n"
    path.write_text(json.dumps(content))
    assert len(deliver(state.settings, now=NOW)) == 1
    (sent,) = (state.settings.alerts / "sent").glob("*.json")
    assert json.loads(sent.read_text())["alert"] == content["alert"]


def asked(alert: Alert) -> dict[str, Any]:
    """The fields in their order."""
    return {name: getattr(alert, name) for name in ("kind", "cohort", "severity", "title", "text", "at", "cause")}


def test_a_broken_ledger_does_not_keep_the_alert_back(state: State, web: WebSink) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/", records_uri="mysql://none")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert len(web.requests) == 1
    mended = replace(settings, records_uri=None)
    assert len(deliver(mended, now=NOW + timedelta(minutes=1))) == 1
    assert len(web.requests) == 1
    assert len(state.ledger.entries(action="alert")) == 1


def test_sentry_gets_the_words_and_nothing_of_the_process(state: State, web: WebSink) -> None:
    pytest.importorskip("sentry_sdk")
    settings = with_urls(state, sentry_dsn=f"http://key@127.0.0.1:{web.port}/7")
    a_local_variable = "SECRET"
    post(settings, [alert(severity="critical")])
    assert len(deliver(settings, now=NOW)) == 1
    sent = [
        gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        for _, headers, body in web.requests
    ]
    assert [path for path, _, _ in web.requests] == ["/api/7/envelope/"]
    event = json.loads(sent[0].splitlines()[2])
    assert event["message"] == "Title one\nLook."
    assert (event["level"], event["tags"]["cohort"]) == ("fatal", "made_up_ward")
    assert a_local_variable not in sent[0].decode()
    assert socket.gethostname() not in sent[0].decode()


def test_events_that_sentry_does_not_take_are_a_failure(state: State, web: WebSink) -> None:
    pytest.importorskip("sentry_sdk")
    for dsn in (f"http://key@127.0.0.1:{closed_port()}/7", f"http://key@127.0.0.1:{web.port}/7", "no dsn"):
        web.answers = [500]
        *_, sentry = channels_of(with_urls(state, sentry_dsn=dsn))
        with pytest.raises(DeliveryFailed):
            sentry.send([alert()])
