"""A secret in headers, URLs, a DSN, prompts and errors: after a full run it is in nothing that was written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from pydantic import SecretStr
from rocksdict import AccessType, Options, Rdict

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig import pipeline as rig
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.kafka.gateway._served import served
from tests.unit.model._endpoint import completion, endpoint
from tests.unit.tools._site import site
from topics.kafka import KafkaConfig

CANARY = "canary/7f3a9c51+d2e8"
FORMS = (CANARY, "canary%2F7f3a9c51%2Bd2e8", "canary/7f3a9c51%2Bd2e8", "7f3a9c51")


async def echo(request: web.Request) -> web.Response:
    """Send back everything, as some services do in their errors."""
    told = {"url": str(request.url), "headers": dict(request.headers), "body": await request.text()}
    return web.json_response(told)


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"<html><title>{CANARY}</title><p>{CANARY} it says.</p></html>", content_type="text/html")


async def model(request: web.Request) -> web.StreamResponse:
    """Say what was said, at once or as a stream."""
    asked = await request.json()
    said = f"You said {asked['messages'][-1]['content']}, {CANARY}."
    if not asked.get("stream"):
        return web.json_response(completion(said))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    whole = completion(said)
    piece = {**whole, "object": "chat.completion.chunk"}
    piece["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": said}, "finish_reason": "stop"}]
    await response.write(f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n".encode())
    return response


@pytest.fixture
async def pipeline(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipeline]:
    """Return a pipeline whose settings are full of the secret."""
    monkeypatch.setattr(rig, "APP", "tests.apps.canary")
    routes = {"/echo": echo, f"/page/{CANARY}": page}
    async with site(routes) as (origin, _), endpoint(model) as base, Pipeline(kafka.bootstrap, tmp_path) as made:
        made.settings = made.settings.changed(
            redact=(SecretStr(CANARY),),
            database_url=SecretStr(f"postgresql://reader:{FORMS[1]}@127.0.0.1:1/none"),
            llm_base_url=base,
            llm_api_key=SecretStr(CANARY),
            webhook_secrets={"github": (SecretStr(CANARY),)},
            alert_webhook_secret=SecretStr(CANARY),
            fetch_allow=(origin.removeprefix("http://"),),
            log_level="DEBUG",
        )
        made.origin = origin  # type: ignore[attr-defined]
        yield made


def raw(config: KafkaConfig, prefix: str) -> dict[str, bytes]:
    """Return all bytes of every topic of the prefix: keys, values, headers, what was aborted too."""
    consumer = Consumer(
        config.client(
            group_id="tests-raw",
            isolation_level="read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            enable_partition_eof=True,
        )
    )
    topics = consumer.list_topics(timeout=PATIENCE_S).topics
    found = {name: b"" for name in topics if name.startswith(prefix)}
    places = [TopicPartition(name, number, OFFSET_BEGINNING) for name in found for number in topics[name].partitions]
    unread = {(place.topic, place.partition) for place in places}
    consumer.assign(places)  # all at once: one after the other each waits for its fetch
    while unread:
        message = consumer.poll(PATIENCE_S)
        assert message is not None, f"{unread} were not read to their ends"
        name = str(message.topic())
        if (error := message.error()) is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            unread.discard((name, message.partition() or 0))
            continue
        headers = str(message.headers()).encode()
        found[name] += b"\n".join((message.key() or b"", message.value() or b"", headers))
    consumer.close()
    return found


def stored(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below, and of every store as its reader sees it."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for current in folder.rglob("CURRENT"):
        options = Options(raw_mode=True)
        store = Rdict(str(current.parent), options, access_type=AccessType.read_only())
        found[f"{current.parent} opened"] = b"\n".join(
            cast("bytes", key) + cast("bytes", value) for key, value in store.items()
        )
        store.close()
    return found


def leaks(found: dict[str, bytes]) -> list[str]:
    return [f"{place}: {form}" for place, data in found.items() for form in FORMS if form.encode() in data]


async def test_the_secret_is_in_nothing_that_was_written(pipeline: Pipeline) -> None:
    worker = await pipeline.running("a")
    site_ = pipeline.origin  # type: ignore[attr-defined]
    runs = [await pipeline.submit("carrier", {"site": site_, "fails": fails}) for fails in (False, True)]
    ended = await pipeline.ended(runs)
    assert [ended[run][0].event_type for run in runs] == ["run.succeeded", "run.failed"]
    pages: dict[str, Any] = {}

    async with served(pipeline.settings, declared=False) as (client, _):

        async def known() -> bool:
            return (await client.get(f"/runs/{runs[1]}")).status_code == 200

        await until(known, what=worker.words)
        paths = [
            "/",
            "/runs",
            "/agents",
            "/tools",
            "/workers",
            "/tables",
            "/topics",
            "/dead-letters",
            "/metrics",
            "/readyz",
        ]
        paths += [f"/runs/{run}{more}" for run in runs for more in ("", "/history", "/result")]
        paths += [f"/topics/{name}/events?from=earliest" for name in ("calls", "runs", "dead-letters", "events")]
        for path in paths:
            answer = await client.get(path)
            pages[path] = answer.content
            assert answer.status_code < 500, (path, answer.text)
    pages["worker metrics"] = (await worker.owner.get("/metrics")).content
    assert b"carried" in pages[f"/runs/{runs[0]}/history"], "the pages do tell of the run"
    assert await worker.stop() == 0, worker.words()

    topics = raw(pipeline.kafka, pipeline.settings.topic_prefix)
    assert any(b"carried" in data for name, data in topics.items() if "journal" in name), "the journal was read"
    assert sum(map(len, topics.values())) > 20_000
    stores = stored(pipeline.folder)
    assert any("opened" in place and data for place, data in stores.items())
    logs = {"log": worker.log.read_bytes()}
    assert b"failed:" in logs["log"]
    assert leaks(topics) == []
    assert leaks(stores) == []
    assert leaks(logs) == []
    assert leaks(pages) == []
