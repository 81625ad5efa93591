"""Long computations in pieces: one thread per fit, and what is done is done once.

What belongs here: how the parts of a study are computed. What does not: where finished parts are kept, which the caller
decides.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Given a key and how to compute its plain value: the value, computed now or by a run that did not come to its end.
Pieces = Callable[[str, Callable[[], Any]], Any]
_LIBRARIES = ("sklearn.ensemble", "sklearn.linear_model", "sklearn.model_selection")


def compute_anew(_key: str, compute: Callable[[], Any]) -> Any:
    """Keep nothing."""
    return compute()


@contextmanager
def one_thread_per_fit() -> Iterator[None]:
    """Matrix libraries in one thread: fits of 20 subjects are too small to share, and sums keep their order."""
    # A library that is loaded later would not be limited.
    for name in _LIBRARIES:
        importlib.import_module(name)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
