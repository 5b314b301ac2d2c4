"""Partitions that go to another worker: what is under way ends and is recorded first, and nothing new begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.runtime import assignment_lifecycle
from streams.runtime.assignment_lifecycle import AssignmentLifecycle
from streams.runtime.batch import RecordBatch
from streams.runtime.faust.stream import Stream
from streams.runtime.partition_store import StoreOptions
from tests.unit.runtime._fakes import batch_of, owned_assignment


class Work:
    """The committer, and what the program has under way in a partition."""

    def __init__(self) -> None:
        self.under_way = 0
        self.drained: list[int] = []  # what was under way when the committer was drained

    def is_at_work(self, _owned: object) -> bool:
        return self.under_way > 0

    async def drain(self, _seconds: float) -> bool:
        self.drained.append(self.under_way)
        return True


def lifecycle(folder: Path, work: Work, release: Callable[[int], None] = lambda _weight: None) -> AssignmentLifecycle:
    return AssignmentLifecycle(
        specs=(),
        folder=folder,
        options=StoreOptions(),
        restorer=cast("Any", None),
        thread=lambda _listener: cast("Any", SimpleNamespace(release=release)),
        committer=cast("Any", work),
        events=cast("Any", work),
        spawn=lambda _coroutine: None,
        probe=lambda _stage: None,
    )


async def test_a_drain_waits_for_the_effects_under_way_before_it_commits(tmp_path: Path) -> None:
    work = Work()
    made = lifecycle(tmp_path, work)
    owned = owned_assignment(tmp_path)
    work.under_way = 2
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(made._drain([owned]))
        await asyncio.sleep(0)
        assert (owned.draining, owned.ready) == (True, False)
        for left in (1, 0):
            assert not work.drained
            work.under_way = left
            made.progress.set()
            await asyncio.sleep(0)
        await draining
    assert work.drained == [0]


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment_lifecycle, "_DRAIN_S", 0.05)
    work = Work()
    work.under_way = 1
    await lifecycle(tmp_path, work)._drain([owned_assignment(tmp_path)])
    assert work.drained == [1]


async def test_a_batch_that_nobody_has_begun_is_withdrawn_and_never_handled(tmp_path: Path) -> None:
    """It lies in an agent's inbox: what a handler made of it would be lost, and what follows from that would not."""
    owned = owned_assignment(tmp_path)
    begun, waiting = (RecordBatch(owned.sources["t.in"], batch_of(owned, at, at).messages, 1, _done) for at in (11, 12))
    begun.started = True
    source = owned.sources["t.in"]
    source.queue.extend([begun, waiting])
    released: list[int] = []
    made = lifecycle(tmp_path, Work(), released.append)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(made._drain([owned]))
        await asyncio.sleep(0)
        assert list(source.queue) == [begun]
        source.queue.clear()  # it was committed
        made.progress.set()
        await draining
    assert (begun.withdrawn, waiting.withdrawn, released) == (False, True, [waiting.weight()])

    inbox: asyncio.Queue[RecordBatch] = asyncio.Queue()
    for batch in (begun, waiting, RecordBatch(source, batch_of(owned, 13, 13).messages, 1, _done)):
        inbox.put_nowait(batch)
    handled = []
    async for batch in stream_over(inbox):
        handled.append(batch.next)
        if len(handled) == 2:
            break
    assert handled == [12, 14]


def _done(_batch: RecordBatch) -> None:
    return


def stream_over(inbox: asyncio.Queue[RecordBatch]) -> AsyncIterator[RecordBatch]:
    """Return the batches of a stream without its service."""

    async def nothing() -> bool:
        return False

    channel, app = SimpleNamespace(_streams_inbox=inbox), SimpleNamespace(should_stop=True)
    return Stream.batches(
        cast("Any", SimpleNamespace(maybe_start=nothing, should_stop=False, channel=channel, app=app))
    )
