"""The state of a platform and receivers of alerts, for every test of this room."""

from collections.abc import Iterator

import dagster as dg
import pytest

from assets_tests.worlds.machine.receivers import WebSink, web_sink
from assets_tests.worlds.ward.state import state

__all__ = ["state"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the test's own."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def web() -> Iterator[WebSink]:
    """An HTTP server on this machine."""
    with web_sink() as sink:
        yield sink
