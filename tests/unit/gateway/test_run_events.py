"""A run's stream: everything once, in order, also for a reader that was cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from streams.gateway.coalesced_reads import CoalescedReads
from streams.query.wire import WorkerResponse
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


def journal(owners: FakeOwners, *entries: dict[str, Any], status: str = "running", pieces: Any = ()) -> None:
    owners.knows("r-1", status=status)
    view = orjson.loads(owners.says["default", "/owner/runs/r-1"].body)
    news = {"view": view, "entries": entries, "pieces": pieces}
    owners.says["default", "/owner/runs/r-1/news"] = WorkerResponse(200, orjson.dumps(news))


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


async def test_an_expired_run_ends_its_stream() -> None:
    async with world(changes=FakeChanges()) as it:
        journal(it.owners, status="expired")
        answer = await it.client.get("/runs/r-1/events")
        assert parsed(answer.text) == [("status", None), ("done", None)]
        assert '"expired"' in answer.text


async def test_a_reader_that_was_cut_gets_the_rest() -> None:
    async with world(changes=FakeChanges()) as it:
        journal(it.owners, STEP, PROGRESS, status="failed")
        answer = await it.client.get("/runs/r-1/events", headers={"last-event-id": "1"})
        assert parsed(answer.text) == [("progress", "2"), ("status", None), ("done", None)]
        assert ("default", "r-1", "/owner/runs/r-1/news?after=1&said=-1") in it.owners.asked


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
    for patience in ("ALIVE_S", "_LOOK_S", "_AGAIN_S", "_PACE_S"):
        monkeypatch.setattr(f"streams.gateway.run_events.{patience}", 0.001)
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
        wrong = await it.client.get("/runs/r-1/events", headers={"last-event-id": "0:7,1:9"})
        problem(wrong, 422, "invalid-request")
        problem(await it.client.get("/runs/nope/events"), 404, "unknown-run")
    async with world() as it:
        problem(await it.client.get("/runs/nope/events"), 503, "log-unavailable")


async def test_what_models_say_comes_before_the_step_that_it_makes() -> None:
    changes = FakeChanges()
    async with world(changes=changes) as it:
        journal(it.owners, pieces=[{"number": 7, "path": "1", "text": "Hel"}])
        reading = asyncio.create_task(it.client.get("/runs/r-1/events"))
        while not changes.events or changes.events[0].is_set() or len(it.owners.asked) < 2:
            await turn()
        it.owners.spoken = {
            "runs": {"r-1": [{"number": 7, "path": "1", "text": "Hel"}, {"number": 8, "path": "1", "text": "lo"}]}
        }
        await it.app.state.token_fanout.look()
        assert it.owners.posted == [("default", "/owner/spoken", {"runs": {"r-1": 7}})]
        journal(it.owners, STEP, status="succeeded", pieces=[{"number": 9, "path": "1", "text": "!"}])
        changes.events[0].set()
        text = (await reading).text
        assert [name for name, _ in parsed(text)] == ["token", "status", "token", "token", "step", "status", "done"]
        assert [text.count(f'"text":"{piece}"') for piece in ("Hel", "lo", "!")] == [1, 1, 1]
        await it.app.state.token_fanout.look()
        assert len(it.owners.posted) == 1, "nobody listens any more"


async def test_a_thousand_readers_of_a_run_are_answered_by_one_question() -> None:
    changes = FakeChanges()
    async with world(changes=changes) as it:
        journal(it.owners, STEP)
        ask = it.owners.ask

        async def answered_later(pool: str, key: str, path: str) -> WorkerResponse:
            await turn()
            return await ask(pool, key, path)

        it.owners.ask = answered_later  # type: ignore[method-assign]
        readers = [asyncio.create_task(it.client.get("/runs/r-1/events")) for _ in range(1000)]
        while len(changes.events) < len(readers):
            await turn()
        journal(it.owners, STEP, PROGRESS, status="succeeded")
        asked = len(it.owners.asked)
        for news in changes.events:
            news.set()
        answers = await asyncio.gather(*readers)
        assert {tuple(parsed(answer.text))[-1] for answer in answers} == {("done", None)}
        assert {tuple(number for _, number in parsed(answer.text) if number) for answer in answers} == {("1", "2")}
        assert len(it.owners.asked) - asked < len(readers) / 10


async def test_a_look_counts_only_for_those_who_asked_before_it_began() -> None:
    """Else a reader that was woken by news would be told what was there before it."""
    release, asked = asyncio.Event(), 0

    async def news(*_: Any) -> Any:
        nonlocal asked
        asked += 1
        number = asked
        await release.wait()
        return number

    looks: Any = CoalescedReads(cast("Any", SimpleNamespace(news=news)))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(looks.read("r", 0, -1))
        await turn()
        late = [group.create_task(looks.read("r", 0, -1)) for _ in range(5)]
        other = group.create_task(looks.read("r", 1, -1))
        await turn()
        release.set()
    assert first.result() == 1
    assert {task.result() for task in late} == {3}
    assert other.result() == 2
    assert looks._reads == {}


async def test_a_look_that_fails_or_whose_reader_leaves_is_made_anew() -> None:
    held = asyncio.Event()
    answers: list[Any] = [held.wait, OSError("moving")]

    async def news(*_: Any) -> Any:
        answer = answers.pop(0) if answers else 3
        if callable(answer):
            return await answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    looks: Any = CoalescedReads(cast("Any", SimpleNamespace(news=news)))
    first = asyncio.create_task(looks.read("r", 0, -1))
    await turn()
    second, third = (asyncio.create_task(looks.read("r", 0, -1)) for _ in range(2))
    await turn()
    first.cancel()
    with pytest.raises(OSError, match="moving"):
        await second
    assert await third == 3
    assert looks._reads == {}
