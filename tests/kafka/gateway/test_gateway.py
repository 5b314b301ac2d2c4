"""What a 202 means: the record is on the log, in the form that others read; what a 503 means: it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.run import RunSubmitted
from schemas.webhook import WebhookReceived
from streams.clock import monotonic
from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.kafka.gateway._served import served, settings, signed
from topics.errors import BrokerUnavailableError
from topics.kafka import KafkaConfig
from topics.partition import partition_of
from topics.reader import RawRecord, read

TASK = {"agent": "triage", "input": {"repository": "octo/hello", "number": 1, "title": "Lost rows"}}
ISSUE = {"action": "opened", "issue": {"number": 1, "title": "x"}, "repository": {"full_name": "octo/hello"}}
CODEC = Codec(FileRegistry())


def log(bootstrap: str, topic: str) -> list[RawRecord]:
    return list(read(KafkaConfig(bootstrap), topic))


async def log_again(bootstrap: str, topic: str) -> list[RawRecord]:
    """Read as soon as the broker that came back leads its partitions again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.to_thread(log, bootstrap, topic)
            except BrokerUnavailableError:
                continue


async def test_a_submission_is_a_cloudevent_in_avro_on_the_keys_partition(bootstrap: str, prefix: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with served(settings(bootstrap, prefix)) as (client, _):
        for _ in range(2):
            body = {**TASK, "run_id": "r-1"}
            assert (await client.post("/runs", json=body, headers={"traceparent": trace})).status_code == 202
    [record] = await asyncio.to_thread(log, bootstrap, f"{prefix}.agents.triage")
    assert record.key == b"r-1"
    assert record.partition == partition_of(b"r-1", 2)
    names = [name for name, _ in record.headers]
    assert len(names) == len(set(names))
    headers = dict(record.headers)
    assert headers["content-type"] == b"application/avro"
    assert headers["traceparent"] == trace.encode()
    attributes = Attributes.from_headers(record.headers)
    assert (attributes.type, attributes.source) == ("run.submitted", "/gateway")
    assert record.value is not None
    assert record.value[0] == 0
    event = CODEC.decode(record.value, RunSubmitted)
    assert (event.run_id, event.agent, event.input) == ("r-1", "triage", TASK["input"])


async def test_the_202_of_an_event_says_where_it_lies(bootstrap: str, prefix: str) -> None:
    async with served(settings(bootstrap, prefix)) as (client, _):
        cloud = {
            "specversion": "1.0",
            "id": "c-1",
            "source": "/sensor",
            "type": "new_data_arrived",
            "time": "2026-01-31T08:00:00Z",
            "tenant": "t",
            "data": {"source": "feed"},
        }
        headers = {"content-type": "application/cloudevents+json"}
        said = (await client.post("/events", content=orjson.dumps(cloud), headers=headers)).json()
        shown = (await client.get("/topics/events/events?type=new_data_arrived&key=feed")).json()["events"]
    [record] = await asyncio.to_thread(log, bootstrap, f"{prefix}.events")
    assert said == {"id": "c-1", "topic": f"{prefix}.events", "partition": record.partition, "offset": record.offset}
    headers_on_log = {name: value for name, value in record.headers if value is not None}
    assert headers_on_log["ce_source"] == b"/sensor"
    assert headers_on_log["ce_time"] == b"2026-01-31T08:00:00.000Z"
    assert headers_on_log["ce_tenant"] == b"t"
    assert [(item["id"], item["data"]["source"]) for item in shown] == [("c-1", "feed")]


async def test_a_delivery_is_one_also_for_the_next_gateway(bootstrap: str, prefix: str) -> None:
    given, body = settings(bootstrap, prefix), orjson.dumps(ISSUE)
    headers = {"x-github-event": "issues", "x-github-delivery": "d-1", "x-hub-signature-256": signed(body)}
    async with served(given) as (client, _):
        first = await client.post("/webhooks/github", content=body, headers=headers)
        assert first.status_code == 202
    async with served(given, declared=False) as (client, app):
        await until(lambda: ("github", "d-1") in app.state.deliveries)
        again = await client.post("/webhooks/github", content=body, headers=headers)
        assert again.json() == {**first.json(), "duplicate": True}
    [raw] = await asyncio.to_thread(log, bootstrap, f"{prefix}.webhooks.github")
    assert raw.value is not None
    assert CODEC.decode(raw.value, WebhookReceived).body == body
    [event] = await asyncio.to_thread(log, bootstrap, f"{prefix}.events")
    assert Attributes.from_headers(event.headers).type == "github.issues.opened"


async def test_a_delivery_of_25_mib_is_kept(bootstrap: str, prefix: str) -> None:
    body = orjson.dumps({"zen": "x" * ((25 << 20) - 20)})
    headers = {"x-github-event": "big", "x-github-delivery": "big", "x-hub-signature-256": signed(body)}
    async with served(settings(bootstrap, prefix)) as (client, _):
        answers: list[int] = []

        async def answered() -> bool:
            answers.append((await client.post("/webhooks/github", content=body, headers=headers)).status_code)
            return answers[-1] != 503  # a broker that is busy may take longer than the gateway waits

        await until(answered)
        assert answers[-1] in {202, 413}, answers


async def test_refused_requests_leave_nothing_on_the_log(bootstrap: str, prefix: str) -> None:
    async with served(settings(bootstrap, prefix)) as (client, _):
        refused = [
            await client.post("/runs", json={"agent": "nobody", "input": {}}),
            await client.post("/runs", json={"agent": "triage", "input": {"number": "x"}}),
            await client.post("/events", json={"type": "new_data_arrived", "data": {}}),
            await client.post("/webhooks/github", content=b"{}", headers={"x-hub-signature-256": signed(b"other")}),
            await client.post("/runs", content=b" " * (1 << 20) + b"x"),
        ]
        assert [answer.status_code for answer in refused] == [404, 422, 422, 401, 413]

        async def all_well() -> bool:  # a check that takes longer than its three seconds is none that went well
            return bool(
                (await client.get("/readyz")).json()["checks"]
                == {
                    **dict.fromkeys(("broker", "producer", "topics", "model"), "ok"),
                    "workers": "no live worker of pool 'default': start one with `streams worker --pool default`",
                }
            )

        await until(all_well)
    for topic in ("agents.triage", "events", "webhooks.github", "dead-letters"):
        assert await asyncio.to_thread(log, bootstrap, f"{prefix}.{topic}") == []


async def test_while_the_broker_is_down_the_answer_is_503_within_10_s(tmp_path: Path, prefix: str) -> None:
    with EmbeddedKafka(tmp_path / "own", cache_home()) as broker:
        async with served(settings(broker.bootstrap, prefix)) as (client, _):
            assert (await client.post("/runs", json={**TASK, "run_id": "before"})).status_code == 202
            broker.kill()
            begun = monotonic()
            answers = await asyncio.gather(
                client.post("/runs", json={**TASK, "run_id": "during"}),
                client.post("/runs", json=TASK, headers={"idempotency-key": "k"}),
                client.post("/events", json={"type": "new_data_arrived", "data": {"source": "feed"}}),
                client.get("/readyz"),
            )
            assert monotonic() - begun < 10
            assert {answer.status_code for answer in answers} == {503}
            assert all("retry-after" in answer.headers for answer in answers)
            assert answers[0].json()["run_id"] == "during"
            assert answers[1].json()["run_id"].startswith("k-")
            broker.start()
            broker.wait_ready()
            left = await log_again(broker.bootstrap, f"{prefix}.agents.triage")
            assert [record.key for record in left] == [b"before"]
