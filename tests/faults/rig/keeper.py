"""Keeps a worker alive in its slot, as a supervisor does: one that ends is started again."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import PATIENCE_S, until


class Keeper:
    """A slot that always has a worker."""

    def __init__(self, pipeline: Pipeline, slot: str = "a") -> None:
        """Start nothing yet."""
        self._pipeline = pipeline
        self._slot = slot
        self._halt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.all: list[Worker] = []
        self.ends: list[float] = []  # when workers ended, in seconds of the monotonic clock

    @property
    def current(self) -> Worker:
        """Return the newest worker of the slot."""
        return self.all[-1]

    @property
    def restarts(self) -> int:
        """Return how often one had to be started again."""
        return len(self.all) - 1

    async def __aenter__(self) -> Self:
        """Start the first one."""
        self.all.append(self._pipeline.start(self._slot))
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last one as it is."""
        self._halt.set()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        while not self._halt.is_set():
            try:
                async with asyncio.timeout(0.2):
                    await self._halt.wait()
            except TimeoutError:
                if self.current.ended:
                    self.ends.append(time.monotonic())
                    self.all.append(self._pipeline.start(self._slot))

    async def ready(self, seconds: float = PATIENCE_S) -> None:
        """Wait until whoever is in the slot says that it is ready."""

        async def one_is() -> bool:
            return not self.current.ended and await self.current.is_ready()

        await until(one_is, seconds, self.current.words)

    def words(self) -> str:
        """Return the end of what each of them said."""
        return "\n---\n".join(worker.words()[-1200:] for worker in self.all[-4:])
