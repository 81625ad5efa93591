"""Work of concurrent requests done together: what arrives while the last batch is being computed is the next one.

What belongs here: gathering, running a batch in a thread, handing results back. What does not: the work.

Nobody waits on a timer: a request that finds nothing running is begun at once, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

GatheredItem = TypeVar("GatheredItem")
GatheredResult = TypeVar("GatheredResult")
#: Items of one batch; more wait for the next.
LARGEST = 256


class Gatherer(Generic[GatheredItem, GatheredResult]):
    """Runs a function over batches of items, one batch at a time.

    Parameters
    ----------
    work : callable
        A batch to its results, one per item in their order; an exception among them is raised to its own caller.
    executor : Executor
        Where it runs.
    largest : int
        Most items of a batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[GatheredItem]], Sequence[GatheredResult | Exception]],
        executor: Executor,
        *,
        largest: int = LARGEST,
    ) -> None:
        self._work, self._executor, self._largest = work, executor, largest
        self._waiting: list[tuple[GatheredItem, asyncio.Future[GatheredResult]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, item: GatheredItem) -> GatheredResult:
        """The result of one item; raises what the work raised for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[GatheredResult] = loop.create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
                try:
                    results = await loop.run_in_executor(self._executor, self._work, [item for item, _ in batch])
                except Exception as error:  # noqa: BLE001 - it belongs to those who wait, and they raise it
                    results = [error] * len(batch)
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():  # its caller has gone
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._running = None
