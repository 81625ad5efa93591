"""A prediction server killed at random under clients: what was acknowledged is in the log, and the log is whole."""

from __future__ import annotations

from pathlib import Path

from assets_tests.campaign.counting import Count, Until
from assets_tests.worlds.ward.api_server import KilledServer
from assets_tests.worlds.ward.released import Releasable


def kill_servers(count: Count, served: Releasable, folder: Path, ends: Until) -> None:
    """SIGKILL under eight clients, as often as there is time for; the next server begins without a repair."""
    server = KilledServer(served.copy_to(folder), count.random)
    while True:
        count.trial("kills of a prediction server under eight clients", lambda: _trial(server))
        if not ends:
            return


def _trial(server: KilledServer) -> str | None:
    acknowledged, missing = server.acknowledged, server.missing
    server.kill()
    if server.acknowledged == acknowledged:
        return "nothing was acknowledged before the kill"
    if server.missing > missing:
        return f"{server.missing - missing} acknowledged answers are not in the log"
    return server.problem()
