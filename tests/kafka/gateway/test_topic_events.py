"""A topic as server-sent events from a real log: resumable at any event, nothing missed and nothing twice."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from tests.kafka.gateway._served import served, settings


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
