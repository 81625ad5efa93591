"""A started server does what its OpenAPI document says of it: no failure, no undocumented status, type or field."""

from __future__ import annotations

import re

import pytest

from assets_tests.worlds.ward.api_document import held_to_its_document
from assets_tests.worlds.ward.released import Releasable


@pytest.mark.slow
def test_generated_requests_find_nothing_that_the_document_does_not_say(released: Releasable) -> None:
    options = ("--phases", "examples,fuzzing", "--max-examples", "4", "--seed", "1")
    found = held_to_its_document(released, *options, keyed=True)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-1000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", found.stdout)
    assert counted is not None, found.stdout
    assert int(counted[1]) == int(counted[2]) > 40
    assert "Traceback" not in (released.settings.data / "server.log").read_text()
