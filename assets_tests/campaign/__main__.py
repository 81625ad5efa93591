"""``python -m assets_tests.campaign MINUTES [SEED]``: the campaign; exit code 1 when there was a violation."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from assets_tests.campaign import changes, hostile, insider, kills, serving
from assets_tests.campaign.counting import Count, Until
from assets_tests.worlds.ward import released

#: Of the time that is left when a kind of trial begins; what forges and flips has all the rest.
_SHARES = {"changes": 0.2, "serving": 0.1, "intakes": 0.3, "commands": 0.4}
LONGEST_MIN = 30.0


def main() -> int:
    """Carry out the campaign and print what was counted."""
    minutes = min(float(sys.argv[1]) if len(sys.argv) > 1 else LONGEST_MIN, LONGEST_MIN)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    for name in [each for each in os.environ if each.startswith("CLINICAL_ASSETS_") or each == "DAGSTER_HOME"]:
        del os.environ[name]
    # Whoever ends the campaign with a signal gets the folder and the processes cleaned up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"ended by a signal; seed {seed}"))
    logging.getLogger("clinical_assets").setLevel(logging.ERROR)
    count, ends = Count(Random(seed)), Until.after(60 * minutes)
    print(f"campaign of {minutes:g} minutes, seed {seed}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        folder = Path(name)
        hostile.deliver(count, folder / "hostile")
        kills.kill_daemon(count, folder / "daemon")
        served = released.served_twice(folder / "released")
        insider.copied_folder(count, served, folder / "copied")
        changes.kill_changes(count, served, folder / "changes", ends.share(_SHARES["changes"]))
        serving.kill_servers(count, served, folder / "serving", ends.share(_SHARES["serving"]))
        kills.kill_intakes(count, folder / "intakes", ends.share(_SHARES["intakes"]))
        kills.kill_commands(count, folder / "commands", ends.share(_SHARES["commands"]))
        insider.attack(count, served, folder / "insider", ends)
    print(f"seed {seed}\n{count.table()}")  # noqa: T201
    return 1 if count.violations else 0


if __name__ == "__main__":
    sys.exit(main())
