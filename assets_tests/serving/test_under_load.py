"""Under eight clients: kills lose no answer that was acknowledged, and a swap of the champion drops no request."""

from __future__ import annotations

from random import Random

import pytest

from assets_tests.worlds.ward.api_server import KilledServer, SwappedServer
from assets_tests.worlds.ward.released import Releasable


@pytest.mark.slow
def test_no_acknowledged_answer_is_lost_when_a_server_is_killed_and_the_next_begins_without_a_repair(
    released: Releasable,
) -> None:
    server = KilledServer(released, Random(1))
    for _ in range(3):
        before = server.acknowledged
        server.kill()
        assert server.acknowledged > before
    assert server.missing == 0
    assert server.problem() is None


@pytest.mark.slow
def test_a_promotion_and_a_rollback_drop_no_request_and_every_answer_is_of_the_model_that_it_names(
    released: Releasable,
) -> None:
    server = SwappedServer(released)
    server.swap(2)
    assert not server.refused
    assert len({answer["digest"] for answer in server.answers.values()}) == 2
    assert not server.of_another_model()
