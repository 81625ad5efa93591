"""Kills and swaps of the prediction API under eight clients, counted: answers that are missing, requests dropped.

A ward is trained, signed and promoted in a temporary folder. Then the server is killed (SIGKILL) anywhere between the
first answers and the two hundredth, and started again, so many times; afterwards its champion is promoted and rolled
back in turns while clients ask.

    python benchmarks/serving_kills.py [kills, 200] [swaps, 20] [workers, 1]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets_tests.worlds.ward.api_server import KilledServer, SwappedServer
from assets_tests.worlds.ward.released import made_again


def main() -> None:
    kills, swaps, workers = (int(text) for text in [*sys.argv[1:], *("200", "20", "1")[len(sys.argv) - 1 :]])
    options = ("--workers", str(workers))
    with tempfile.TemporaryDirectory() as name:
        place = made_again(Path(name))
        began = time.monotonic()
        killed = KilledServer(place, Random(1), options)
        for _ in range(kills):
            killed.kill()
        print(
            f"{killed.kills} kills, {killed.acknowledged} acknowledged answers, {killed.missing} missing, "
            f"{killed.repairs} half-written lines cut off, "
            f"log: {killed.problem() or 'intact'}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        began = time.monotonic()
        swapped = SwappedServer(place, options)
        swapped.swap(swaps)
        print(
            f"{swapped.swaps} swaps, {len(swapped.answers)} answers, {len(swapped.refused)} requests dropped, "
            f"{len(swapped.of_another_model())} answers of another model than they name, "
            f"{time.monotonic() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
