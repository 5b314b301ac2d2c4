"""A run's stream: everything once, in order, also for a reader that was cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from streams.query.wire import Answer
from tests.unit.gateway._gateway import FakeOwners, problem, world


class FakeChanges:
    """Watchers are woken by hand."""

    def __init__(self) -> None:
        self.events: list[asyncio.Event] = []

    @contextmanager
    def watch(self, pool: str, run_id: str) -> Iterator[asyncio.Event]:
        del pool, run_id
        self.events.append(asyncio.Event())
        yield self.events[-1]


def journal(owners: FakeOwners, *entries: dict[str, Any], status: str = "running") -> None:
    owners.knows("r-1", status=status)
    owners.says["default", "/owner/runs/r-1/history"] = Answer(200, orjson.dumps({"entries": entries}))


async def turn() -> None:
    """Let the other tasks run once."""
    await asyncio.sleep(0)


def parsed(text: str) -> list[tuple[str, str | None]]:
    """Return name and id of each event."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id")))
    return found


STEP = {"seq": 1, "kind": "llm"}
PROGRESS = {"seq": 2, "kind": "progress", "name": "plan ready", "output": {"progress": 20}}


async def test_a_finished_run_is_told_from_the_start_and_ends() -> None:
    async with world(changes=FakeChanges()) as it:
        journal(it.owners, STEP, PROGRESS, status="succeeded")
        answer = await it.client.get("/runs/r-1/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert parsed(answer.text) == [("step", "1"), ("progress", "2"), ("status", None), ("done", None)]
        assert '"progress":20,"message":"plan ready"' in answer.text


async def test_a_reader_that_was_cut_gets_the_rest() -> None:
    async with world(changes=FakeChanges()) as it:
        journal(it.owners, STEP, PROGRESS, status="failed")
        answer = await it.client.get("/runs/r-1/events", headers={"last-event-id": "1"})
        assert parsed(answer.text) == [("progress", "2"), ("status", None), ("done", None)]
        assert ("default", "r-1", "/owner/runs/r-1/history?after=1") in it.owners.asked


async def test_news_is_told_as_it_comes() -> None:
    changes = FakeChanges()
    async with world(changes=changes) as it:
        journal(it.owners, STEP)
        reading = asyncio.create_task(it.client.get("/runs/r-1/events"))
        while not changes.events:
            await turn()
        journal(it.owners, STEP, PROGRESS, status="succeeded")
        changes.events[0].set()
        while not reading.done():
            changes.events[0].set()
            await turn()
        names = parsed(reading.result().text)
        assert [name for name in names if name[1]] == [("step", "1"), ("progress", "2")]
        assert names[-1] == ("done", None)


async def test_silence_is_filled_and_a_moving_owner_does_not_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.gateway.run_events.ALIVE_S", 0.001)
    async with world(changes=FakeChanges()) as it:
        journal(it.owners, STEP)
        reading = asyncio.create_task(it.client.get("/runs/r-1/events"))
        while len(it.owners.asked) < 4:
            await turn()
        it.owners.silent = {"default", "scraper"}
        asked = len(it.owners.asked)
        while len(it.owners.asked) < asked + 3:
            await turn()
        it.owners.silent = set()
        journal(it.owners, STEP, status="cancelled")
        answer = await reading
        assert ": alive" in answer.text
        assert [name for name, number in parsed(answer.text) if number] == ["step"]


async def test_a_run_that_nobody_knows_is_404() -> None:
    async with world(changes=FakeChanges()) as it:
        problem(await it.client.get("/runs/nope/events"), 404, "unknown-run")
    async with world() as it:
        problem(await it.client.get("/runs/nope/events"), 503, "log-unavailable")
