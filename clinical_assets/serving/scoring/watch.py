"""Looking again and again, in a thread of its own.

What belongs here: when somebody looks. What does not: what they look at (``champions``, ``trials.live_trials``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watch:
    """Calls `look` at once, and every `every_s` seconds until it is stopped.

    Parameters
    ----------
    look : callable
        What is done; it raises nothing.
    name : str
        Of the thread.
    every_s : float
        Seconds between two looks.
    """

    def __init__(self, look: Callable[[], None], *, name: str, every_s: float) -> None:
        self._look, self._name, self._every_s = look, name, every_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look now, and again until `stop`."""
        self._look()
        self._thread = threading.Thread(target=self._go_on, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End looking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _go_on(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._look()
