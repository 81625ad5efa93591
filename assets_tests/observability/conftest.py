"""The state of a platform and receivers of alerts, for every test of this room."""

from collections.abc import Iterator

import pytest

from assets_tests.worlds.machine.receivers import MailSink, WebSink, mail_sink, web_sink
from assets_tests.worlds.ward.state import state

__all__ = ["mails", "state", "web"]


@pytest.fixture
def mails() -> Iterator[MailSink]:
    """An SMTP server on this machine."""
    with mail_sink() as sink:
        yield sink


@pytest.fixture
def web() -> Iterator[WebSink]:
    """An HTTP server on this machine."""
    with web_sink() as sink:
        yield sink
