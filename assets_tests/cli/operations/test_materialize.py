"""What the command says of the runs that it watches."""

from __future__ import annotations

from clinical_assets.cli.operations.materialize import time_left


def test_time_left_is_told_from_what_others_took_and_from_the_workers() -> None:
    assert time_left([30.0, 50.0], left=1, workers=2) == "1 left, about 40 s"
    assert time_left([30.0, 50.0], left=5, workers=2) == "5 left, about 2 min"
    assert time_left([], left=5, workers=2) == "5 left"
    assert time_left([30.0], left=0, workers=2) == ""
