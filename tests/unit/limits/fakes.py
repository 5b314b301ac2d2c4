"""An assignment, its store and its committer in memory, and tasks that a test waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import DeadAssignmentError


class Store:
    """Committed rows, and those of open units."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.dirty: dict[bytes, tuple[bytes | None, CommitUnit, tuple[int, int] | None]] = {}
        self.name, self.topic, self.partition = LEDGER, "journal.default", 0

    def committed(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan_committed(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        first = prefix if start is None else start
        yield from sorted((key, row) for key, row in self.rows.items() if key.startswith(prefix) and key >= first)

    def get(self, key: bytes) -> bytes | None:
        held = self.dirty.get(key)
        return self.rows.get(key) if held is None else held[0]


class Owned:
    """An assignment."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.live = self.ready = True
        self.partition = 0
        self.stores = {LEDGER: self.store}
        self.on_death: list[Callable[[], None]] = []


class Committer:
    """Commits at once, unless the assignment is dead."""

    def __init__(self) -> None:
        self.units = 0

    def proven(self) -> bool:
        return True

    def add(self, unit: CommitUnit) -> None:
        unit.sealed = True
        self.units += 1
        if not unit.assignment.live:
            if unit.on_refuse is not None:
                unit.on_refuse(DeadAssignmentError("gone"))
            return
        for store, key, value in unit.writes:
            if value is None:
                vars(store)["rows"].pop(key, None)
            else:
                vars(store)["rows"][key] = value
        unit.settle()
        for callback in unit.on_commit:
            callback()


class Tasks:
    """Tasks of one test; an error in one of them is the test's."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        return task

    async def over(self) -> None:
        """Wait until no task is under way."""
        while self.tasks:
            done, self.tasks = self.tasks, set()
            await asyncio.gather(*done)


async def turns(until: Callable[[], bool], most: int = 1000) -> None:
    """Give the loop turns until something is so."""
    for _ in range(most):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")
