"""A topic as server-sent events: where it begins, how it goes on, and that a slow reader holds the reading back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from streams.gateway import feed
from streams.gateway.operation import OperationCall
from streams.gateway.sse import Streams
from streams.gateway.threads import GatewayThreads
from streams.gateway.topic_events import AHEAD, TopicEvents, _Wish
from tests.unit.gateway._gateway import World, problem, world
from topics.errors import TopicError

BEGIN, END = {0: 5, 1: 7}, {0: 60, 1: 80}


class EndlessHistory:
    """Two partitions; each has a record for every offset, up to `most` of them after the end as it was at first."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.asked: Any = None
        self.most = most
        self.made = 0
        self.pages = 0
        self.full = threading.Event()
        self.error: Exception | None = None

    def topics(self) -> list[dict[str, Any]]:
        return [{"name": "events", "partitions": 2}]

    def page(self, topic: str, **_: Any) -> list[dict[str, Any]]:
        return []

    def start(self, topic: str, where: str | Mapping[int, int]) -> dict[int, int]:
        self.asked = where
        return dict({"latest": END, "earliest": BEGIN}[where] if isinstance(where, str) else where)

    def between(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int], *, key: str | None, limit: int
    ) -> Iterator[dict[str, Any]]:
        self.pages += 1
        places = [
            (partition, start.get(partition, 0) + number)
            for number in range(limit)
            for partition in end
            if start.get(partition, 0) + number < end[partition]
        ]
        return (record(*place) for place in places[:limit])

    def follow(self, topic: str, start: Mapping[int, int], *, stop: threading.Event) -> Iterator[dict[str, Any]]:
        offsets = dict(start)
        while not stop.is_set():
            if self.error is not None:
                raise self.error
            if self.made == self.most:
                self.full.set()
                stop.wait()
                return
            partition = self.made % 2
            yield record(partition, offsets[partition])
            offsets[partition] += 1
            self.made += 1


def record(partition: int, offset: int) -> dict[str, Any]:
    kind = "odd" if offset % 2 else "even"
    return {"partition": partition, "offset": offset, "type": kind, "data": {"text": "a\nb"}}


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
            "id: 0:60,1:80",
            "id: 0:61,1:80",
            "id: 0:61,1:81",
            "id: 0:62,1:81",
        ]
        assert found[1].splitlines()[1].startswith('data: {"partition":0,"offset":60')
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


def some_call() -> OperationCall:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    return OperationCall({"type": "http", "headers": []}, receive)


async def test_a_slow_reader_misses_nothing_and_takes_no_more_than_it_reads() -> None:
    """What is kept for all is bounded; who falls behind it reads the log in pages, and comes back to the others."""
    history = EndlessHistory(most=3 * feed.KEPT)
    events = TopicEvents(GatewayThreads(), Streams())
    slow = events._events(some_call(), history, _Wish("events", None, None, None), dict(END), dict(END))
    taken = [await anext(slow), await anext(slow)]
    assert await asyncio.to_thread(history.full.wait, 60)
    assert len(events._feeds._feeds["events"]._kept) <= feed.KEPT
    count = history.most // 2
    while b"id: 0:%d,1:%d\n" % (END[0] + count, END[1] + count) not in taken[-1]:
        taken.append(await anext(slow))
    assert history.pages > 0
    ids = [line for line in b"".join(taken[1:]).splitlines() if line.startswith(b"id: ")]
    assert len(ids) == len(set(ids)) == history.most
    assert max(block.count(b"id: ") for block in taken) <= AHEAD
    await slow.aclose()
    assert not events._feeds._feeds


async def test_a_thousand_readers_share_one_follower() -> None:
    history, before = EndlessHistory(most=40), set(threading.enumerate())
    events = TopicEvents(GatewayThreads(), Streams())
    readers = [
        events._events(some_call(), history, _Wish("events", None, None, 30), dict(END), dict(END)) for _ in range(1000)
    ]

    async def all_of(reader: Any) -> int:
        return sum([block.count(b"data: ") async for block in reader])

    assert set(await asyncio.gather(*map(all_of, readers))) == {30}
    assert history.made <= history.most
    assert sum(one.name == "stream events" for one in set(threading.enumerate()) - before) <= 1


async def test_a_reader_from_the_beginning_comes_to_the_end_without_a_gap() -> None:
    history = EndlessHistory(most=20)
    async with world(history=history) as it:
        found = await blocks(it, "from=earliest&limit=140")
        ids = [block.splitlines()[0] for block in found]
        assert len(set(ids)) == len(ids) == 141
        assert history.pages == 1


async def test_streams_end_when_the_gateway_stops_and_when_the_topic_is_gone() -> None:
    history = EndlessHistory()
    async with world(history=history) as it:
        streams: Streams = it.app.state.streams
        reading = asyncio.gather(blocks(it, "type=never"))
        async with asyncio.timeout(60):
            while not streams._open:
                await turn()
        streams.close()
        async with asyncio.timeout(60):
            assert len((await reading)[0]) == 1
        assert not streams._open
    history.error = TopicError("gone")
    async with world(history=history) as it, asyncio.timeout(60):
        assert len(await blocks(it, "")) == 1


async def test_more_streams_than_can_be_kept_are_refused() -> None:
    async with world(history=EndlessHistory()) as it:
        it.app.state.streams._most = 0
        answer = await it.client.get("/topics/events/events", headers={"accept": "text/event-stream"})
        problem(answer, 429, "busy")
