"""Where a request shows who it is.

What belongs here: the door that asks nobody, for this machine alone. What does not: keys and tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from clinical_assets.serving.access.callers import LOCAL, AccessRefused, Caller


class Door(Protocol):
    """Tells who asks."""

    async def caller(self, scope: Mapping[str, Any]) -> Caller:
        """The caller of a request.

        Parameters
        ----------
        scope : mapping
            ASGI scope of the request.

        Raises
        ------
        AccessRefused
            Nobody who is known.
        """

    def refused(self, error: AccessRefused) -> None:
        """Count a caller who is known and may not do what it asked for."""

    def start(self) -> None:
        """Begin, before the first request."""

    def stop(self) -> None:
        """End, after the last one."""


class OpenDoor:
    """Every caller may do everything; for a server that listens on loopback only."""

    async def caller(self, scope: Mapping[str, Any]) -> Caller:
        """The local caller, whatever the request says."""
        del scope
        return LOCAL

    def refused(self, error: AccessRefused) -> None:
        """Nobody is counted."""

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to end."""
