"""`POST /events`: our short form and the three of CloudEvents."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.unit.gateway._gateway import problem, world

EVENT = {"type": "new_data_arrived", "data": {"source": "feed", "reference": "http://x"}}
CLOUD = {"specversion": "1.0", "id": "c-1", "source": "/sensor", **EVENT}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


async def test_an_event_is_on_the_bus_under_its_key() -> None:
    async with world() as it:
        answer = await it.post("/events", {**EVENT, "id": "e-1"}, traceparent="00-b")
        assert answer.status_code == 202
        assert answer.json() == {"id": "e-1", "topic": "events", "partition": 1, "offset": 0}
        [record] = it.log.written
        assert (record.topic, record.id, record.traceparent) == ("events", "e-1", "00-b")
        assert record.key == "feed"
        await it.post("/events", {**EVENT, "key": "mine"})
        assert it.log.written[1].key == "mine"


async def test_an_unknown_type_is_422_and_nothing_is_written() -> None:
    async with world() as it:
        problem(await it.post("/events", {**EVENT, "type": "never.heard"}), 422, "unknown-event-type")
        problem(await it.post("/events", {**EVENT, "type": "github.!!"}), 422, "unknown-event-type")
        assert it.log.written == []


@pytest.mark.parametrize(
    ("data", "field"),
    [({}, "data.source"), ({"source": 1}, "data.source"), ({"source": "x", "more": 1}, "data.more"), (None, "data")],
)
async def test_wrong_data_is_422_naming_the_field(data: Any, field: str) -> None:
    async with world() as it:
        body = problem(await it.post("/events", {**EVENT, "data": data}), 422, "invalid-event")
        assert body["errors"][0]["field"] == field
        assert it.log.written == []


@pytest.mark.parametrize(
    "body", [[], "x", {"data": {}}, {"type": "new_data_arrived"}, {**EVENT, "id": 1}, {**EVENT, "x": 1}]
)
async def test_a_body_that_is_no_event_is_422(body: Any) -> None:
    async with world() as it:
        problem(await it.post("/events", body), 422, "invalid-event")


async def test_no_acknowledgement_is_503() -> None:
    async with world() as it:
        it.log.down = True
        answer = await it.post("/events", EVENT)
        problem(answer, 503, "not-acknowledged")
        assert answer.headers["retry-after"] == "1"


async def test_an_idempotency_key_is_one_event() -> None:
    async with world() as it:
        first, again = [await it.post("/events", EVENT, idempotency_key="k") for _ in range(2)]
        assert first.json() == again.json()
        assert len(it.log.written) == 1


async def test_structured_mode() -> None:
    async with world() as it:
        event = {
            **CLOUD,
            "time": "2026-01-31T08:00:00.5+01:00",
            "subject": "s",
            "partitionkey": "p",
            "tenant": "t",
            "n": 3,
        }
        answer = await it.client.post("/events", content=orjson.dumps(event), headers=STRUCTURED)
        assert answer.json()["id"] == "c-1"
        [record] = it.log.written
        assert (record.key, record.source, record.time_ms) == ("p", "/sensor", 1769842800500)
        assert record.headers == {"ce_subject": "s", "ce_tenant": "t", "ce_n": "3"}


async def test_data_in_base64() -> None:
    async with world() as it:
        event = {name: value for name, value in CLOUD.items() if name != "data"}
        event["data_base64"] = base64.b64encode(orjson.dumps(EVENT["data"])).decode()
        assert (await it.client.post("/events", content=orjson.dumps(event), headers=STRUCTURED)).status_code == 202
        event["data_base64"] = "?"
        problem(await it.client.post("/events", content=orjson.dumps(event), headers=STRUCTURED), 422, "invalid-event")


async def test_batch_mode_writes_all_or_nothing() -> None:
    async with world() as it:
        events = [{**CLOUD, "id": str(number)} for number in range(3)]
        answer = await it.client.post("/events", content=orjson.dumps(events), headers=BATCH)
        assert [ack["id"] for ack in answer.json()] == ["0", "1", "2"]
        events[2] = {**CLOUD, "data": {}}
        problem(await it.client.post("/events", content=orjson.dumps(events), headers=BATCH), 422, "invalid-event")
        assert len(it.log.written) == 3
        assert (await it.client.post("/events", content=b"[]", headers=BATCH)).json() == []


async def test_binary_mode() -> None:
    async with world() as it:
        headers = {
            "ce-specversion": "1.0",
            "ce-id": "b-1",
            "ce-source": "/s",
            "ce-type": "new_data_arrived",
            "ce-tag": "a%20b",
        }
        answer = await it.client.post("/events", json=EVENT["data"], headers=headers)
        assert answer.json()["id"] == "b-1"
        assert it.log.written[0].headers == {"ce_tag": "a b"}
        missing = {name: value for name, value in headers.items() if name != "ce-id"}
        body = problem(await it.client.post("/events", json=EVENT["data"], headers=missing), 422, "invalid-event")
        assert body["errors"][0]["field"] == "id"
        plain = {**headers, "content-type": "text/plain"}
        problem(await it.client.post("/events", content=b"x", headers=plain), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"type": 3}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "0001-01-01T00:00:00+23:00"}, "time"),
        ({"Bad-Name": "x"}, "Bad-Name"),
        ({"list": []}, "list"),
        ({"data_base64": "e30="}, "data_base64"),
    ],
)
async def test_wrong_attributes_are_named(change: dict[str, Any], field: str) -> None:
    async with world() as it:
        event = orjson.dumps({**CLOUD, **change})
        body = problem(await it.client.post("/events", content=event, headers=STRUCTURED), 422, "invalid-event")
        assert body["errors"][0]["field"] == field
        assert it.log.written == []


async def test_other_cloudevents_formats_are_415() -> None:
    async with world() as it:
        avro = {"content-type": "application/cloudevents+avro"}
        problem(await it.client.post("/events", content=b"x", headers=avro), 415, "unsupported-media-type")
        event = orjson.dumps({**CLOUD, "datacontenttype": "text/xml"})
        problem(await it.client.post("/events", content=event, headers=STRUCTURED), 415, "unsupported-media-type")
