"""An alert reaches every receiver once, waits for those that are away, and is entered into the ledger."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import logging
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.serving.receivers import MailSink, WebSink
from assets_tests.serving.state import State
from clinical_assets.serving import alert_channels, alerts
from clinical_assets.serving.alert_channels import SIGNATURE, TIMESTAMP, DeliveryFailed, channels_of
from clinical_assets.serving.alerts import Alert, deliver, post
from clinical_assets.settings import ALERT_SECRET, ALERT_URLS, SENTRY_DSN, Settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def alert(cause: str = "one", **changes: Any) -> Alert:
    made = Alert("drift", "made_up_ward", "warning", f"Title {cause}", "Look.", NOW.isoformat(), cause)
    return replace(made, **changes)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def with_urls(state: State, *urls: str, **more: Any) -> Settings:
    return replace(state.settings, alert_urls=urls, **more)


def mail_url(mails: MailSink, *, user: str = "") -> str:
    return f"smtp://{user}127.0.0.1:{mails.port}?from=platform@example.org&to=ann@example.org&to=bob@example.org"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_channels, "_PAUSE_S", 0.0)


def test_mail_and_webhook_get_all_new_alerts_as_one_message_each(state: State, mails: MailSink, web: WebSink) -> None:
    settings = with_urls(state, mail_url(mails), f"http://127.0.0.1:{web.port}/hook")
    assert len(post(settings, [alert("one"), alert("two")])) == 2
    assert {each.cause for each in deliver(settings, now=NOW)} == {"one", "two"}
    (message,) = mails.messages
    assert message["To"] == "ann@example.org, bob@example.org"
    assert message["Subject"].startswith("[clinical_assets] 2 alerts")
    text = message.get_payload()
    assert "Title one" in text
    assert "Title two" in text
    ((path, _, body),) = web.requests
    assert path == "/hook"
    assert [each["cause"] for each in json.loads(body)["alerts"]] == sorted(
        ["one", "two"], key=lambda cause: alert(cause).key
    )


def test_a_storm_is_told_in_portions_and_every_alert_arrives_once(
    state: State, web: WebSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "MOST_AT_ONCE", 4)
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    post(settings, [alert(str(number)) for number in range(10)])
    assert [len(deliver(settings, now=NOW)) for _ in range(4)] == [4, 4, 2, 0]
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
    web.answers = [500, 500]
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
    web.answers = [503, 503]
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert "could not be delivered to http://127.0.0.1 (2): it answered 503" in caplog.text
    # Not due yet: nobody is asked again within the pause.
    deliver(settings, now=NOW + timedelta(seconds=1))
    assert len(web.requests) == 2
    assert [each.cause for each in deliver(settings, now=NOW + timedelta(minutes=1))] == ["one"]
    assert len(web.requests) == 3
    assert len(mails.messages) == 1


def test_a_webhook_that_is_overloaded_is_asked_again_at_once_and_one_that_refuses_is_not(
    state: State, web: WebSink
) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/")
    _, hook = channels_of(settings)
    web.answers = [429]
    hook.send([alert()])
    assert len(web.requests) == 2
    web.answers = [403]
    with pytest.raises(DeliveryFailed, match="403"):
        hook.send([alert()])
    assert len(web.requests) == 3


def test_a_redirect_is_not_followed(state: State, web: WebSink) -> None:
    _, hook = channels_of(with_urls(state, f"http://127.0.0.1:{web.port}/"))
    web.answers = [307]
    with pytest.raises(DeliveryFailed, match="307"):
        hook.send([alert()])
    assert [path for path, _, _ in web.requests] == ["/"]


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
    assert alert_channels.signature(secret, stamp, body) != alert_channels.signature(secret, stamp, other)


def test_mail_logs_in_with_decoded_words_and_a_refused_receiver_is_a_failure(state: State, mails: MailSink) -> None:
    _, mail = channels_of(with_urls(state, mail_url(mails, user="ann:p%40ss@")))
    mail.send([alert()])
    assert any(command.startswith("AUTH PLAIN AGFubgBwQHNz") for command in mails.commands)
    mails.refuse = True
    with pytest.raises(DeliveryFailed, match="SMTPRecipientsRefused"):
        mail.send([alert()])


def test_a_password_never_goes_in_clear_to_another_machine(state: State, mails: MailSink) -> None:
    _, mail = channels_of(with_urls(state, mail_url(mails, user="ann:secret@")))
    elsewhere = replace(mail, host="0.0.0.0")  # type: ignore[type-var]
    with pytest.raises(DeliveryFailed, match="in clear"):
        elsewhere.send([alert()])
    assert not any("AUTH" in command for command in mails.commands)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org",
        "smtp://mail.example.org",
        "smtp://mail.example.org?from=a@b.org",
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
        ALERT_URLS, f"smtp://u:SECRET1@127.0.0.1:{port}?from=a@b&to=c@d, https://127.0.0.1:{port}/SECRET2"
    )
    monkeypatch.setenv(ALERT_SECRET, "SECRET3")
    monkeypatch.setenv(SENTRY_DSN, f"http://SECRET4@127.0.0.1:{port}/1")
    settings = Settings.from_environment()
    assert len(settings.alert_urls) == 2
    caplog.set_level(logging.DEBUG, logger="clinical_assets")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    (entry,) = state.ledger.entries(action="alert")
    assert len(entry.facts["not_delivered_yet"]) == 3
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("clinical_assets"))
    assert ours.count("could not be delivered") == 3
    kept = "".join(path.read_text() for path in settings.alerts.rglob("*.json"))
    for text in (repr(settings), repr(channels_of(settings)), ours, str(entry), kept):
        assert "SECRET" not in text


def test_the_address_of_a_webhook_is_in_no_log_also_when_everything_is_logged(
    state: State, web: WebSink, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_urls(state, f"http://127.0.0.1:{web.port}/SECRET")
    caplog.set_level(logging.DEBUG)
    post(settings, [alert()])
    assert len(deliver(settings, now=NOW)) == 1
    assert "SECRET" not in caplog.text


def test_a_password_that_mail_cannot_carry_fails_its_channel_and_no_other(
    state: State, mails: MailSink, web: WebSink, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_urls(state, mail_url(mails, user="ann:p%C3%A4ss@"), f"http://127.0.0.1:{web.port}/")
    post(settings, [alert()])
    assert deliver(settings, now=NOW) == ()
    assert len(web.requests) == 1
    assert "did not take the message (Unicode" in caplog.text


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
    assert len(deliver(state.settings, now=NOW)) == 1
    assert broken.exists()
    assert "is no alert" in caplog.text


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
