"""A topic as server-sent events: where it begins, how it goes on, and that a slow reader holds the reading back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from streams.gateway.sse import Streams
from streams.gateway.topic_events import AHEAD, Ahead
from tests.unit.gateway._gateway import World, problem, world
from topics.errors import TopicError


class EndlessHistory:
    """Two partitions; each has a record for every offset, for ever."""

    def __init__(self) -> None:
        self.asked: Any = None
        self.made = 0
        self.full = threading.Event()
        self.error: Exception | None = None

    def topics(self) -> list[dict[str, Any]]:
        return [{"name": "events", "partitions": 2}]

    def page(self, topic: str, **_: Any) -> list[dict[str, Any]]:
        return []

    def start(self, topic: str, where: str | Mapping[int, int]) -> dict[int, int]:
        self.asked = where
        return {0: 5, 1: 7} if isinstance(where, str) else dict(where)

    def follow(
        self, topic: str, start: Mapping[int, int], *, key: str | None, stop: threading.Event
    ) -> Iterator[dict[str, Any]]:
        offsets = dict(start)
        while not stop.is_set():
            if self.error is not None:
                raise self.error
            partition = self.made % 2
            kind = "even" if self.made % 4 < 2 else "odd"
            yield {"partition": partition, "offset": offsets[partition], "type": kind, "data": {"text": "a\nb"}}
            offsets[partition] += 1
            self.made += 1
            if self.made == AHEAD:
                self.full.set()


async def turn() -> None:
    """Let other tasks run."""
    await asyncio.sleep(0)


async def blocks(it: World, query: str, **headers: str) -> list[str]:
    named = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await it.client.get(f"/topics/events/events?{query}", headers=named)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.text.split("\n\n")[:-1]


async def test_it_begins_where_it_is_told_and_each_id_is_a_place_in_all_partitions() -> None:
    history = EndlessHistory()
    async with world(history=history) as it:
        found = await blocks(it, "limit=3")
        assert history.asked == "latest"
        assert [block.splitlines()[0] for block in found] == [
            "id: 0:5,1:7",
            "id: 0:6,1:7",
            "id: 0:6,1:8",
            "id: 0:7,1:8",
        ]
        assert found[1].splitlines()[1].startswith('data: {"partition":0,"offset":5')
        assert len(found[1].splitlines()) == 2
        await blocks(it, "limit=1&from=earliest")
        assert history.asked == "earliest"


async def test_it_goes_on_after_the_last_id_and_filters_by_type() -> None:
    history = EndlessHistory()
    async with world(history=history) as it:
        found = await blocks(it, "limit=1&from=earliest&type=odd", last_event_id="0:50,1:70")
        assert history.asked == {0: 50, 1: 70}
        assert [block.splitlines()[0] for block in found] == ["id: 0:50,1:70", "id: 0:52,1:71"]
        headers = {"accept": "text/event-stream", "last-event-id": "seven"}
        problem(await it.client.get("/topics/events/events", headers=headers), 422, "invalid-request")
        headers = {"accept": "text/event-stream"}
        problem(await it.client.get("/topics/events/events?to=9", headers=headers), 422, "invalid-request")
        assert (await it.client.head("/topics/events/events", headers=headers)).status_code == 200


async def test_a_slow_reader_holds_the_reading_back_and_misses_nothing() -> None:
    history = EndlessHistory()
    ahead = Ahead(history, "events", {0: 0, 1: 0}, None)
    with ahead:
        await asyncio.to_thread(history.full.wait, 10)
        for _ in range(20):
            await asyncio.sleep(0)
        assert history.made <= AHEAD + 1
        offsets: list[int] = []
        while len(offsets) < 3 * AHEAD:
            async with asyncio.timeout(10):
                await ahead.news.wait()
            offsets += [record["offset"] for record in ahead.taken() if record["partition"] == 0]
        assert offsets == list(range(len(offsets)))


async def test_streams_end_when_the_gateway_stops_and_when_the_topic_is_gone() -> None:
    history = EndlessHistory()
    async with world(history=history) as it:
        streams: Streams = it.app.state.streams
        reading = asyncio.gather(blocks(it, "type=never"))
        async with asyncio.timeout(10):
            while not streams._open:
                await turn()
        streams.close()
        async with asyncio.timeout(10):
            assert len((await reading)[0]) == 1
        assert not streams._open
    history.error = TopicError("gone")
    async with world(history=history) as it, asyncio.timeout(10):
        assert len(await blocks(it, "")) == 1


async def test_more_streams_than_can_be_kept_are_refused() -> None:
    async with world(history=EndlessHistory()) as it:
        it.app.state.streams._most = 0
        answer = await it.client.get("/topics/events/events", headers={"accept": "text/event-stream"})
        problem(answer, 429, "busy")
