"""A topic as server-sent events from a real log: resumable at any event, nothing missed and nothing twice."""

from __future__ import annotations

import signal
import threading
from typing import Any

import httpx
import orjson
import uvicorn

from streams.gateway.serve import _Server
from streams.gateway.sse import Streams
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.kafka.gateway._served import OnAPort, served, settings


async def read(client: httpx.AsyncClient, query: str, last: str | None = None) -> tuple[list[dict[str, Any]], str]:
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    answer = await client.get(f"/topics/events/events?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    events = [orjson.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return events, [line.removeprefix("id: ") for line in lines if line.startswith("id: ")][-1]


async def test_a_topic_is_streamed_and_resumed(bootstrap: str, prefix: str) -> None:
    async with served(settings(bootstrap, prefix)) as (client, _):

        async def publish(*sources: str) -> None:
            for source in sources:
                event = {"type": "new_data_arrived", "data": {"source": source}, "key": source}
                assert (await client.post("/events", json=event)).status_code == 202

        await publish("a", "b", "c", "d", "e", "f")
        first, last = await read(client, "from=earliest&limit=2")
        second, last = await read(client, "limit=3", last)
        await publish("g", "h")
        third, _ = await read(client, "limit=3", last)
        seen = [event["data"]["source"] for event in [*first, *second, *third]]
        assert sorted(seen) == list("abcdefgh")
        keyed, _ = await read(client, "from=earliest&limit=1&key=g")
        assert [event["data"]["source"] for event in keyed] == ["g"]


async def test_a_reader_that_leaves_leaves_nothing_behind(on_a_port: OnAPort) -> None:
    async with httpx.AsyncClient(base_url=on_a_port.url, timeout=PATIENCE_S) as client:
        headers = {"accept": "text/event-stream"}
        async with client.stream("GET", "/topics/events/events", headers=headers) as answer:
            first = await anext(answer.aiter_lines())
            assert first.startswith("id: ")
            assert len(on_a_port.app.state.streams._open) == 1
            await until(lambda: followers() == 1)  # those of other tests may be ending still
    await until(lambda: not on_a_port.app.state.streams._open and not followers())


def followers() -> int:
    return sum(thread.name.startswith("stream ") for thread in threading.enumerate())


def test_the_signal_to_stop_ends_the_streams() -> None:
    """Who reads a stream would hold a gateway up for as long as it drains."""
    streams = Streams()
    server = _Server(uvicorn.Config(lambda: None), streams)
    server.handle_exit(signal.SIGTERM, None)
    assert streams.closed
    assert server.should_exit
