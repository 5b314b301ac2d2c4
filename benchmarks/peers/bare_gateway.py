"""The same webhook without a framework of ours: Starlette, confluent-kafka, fastavro, by hand, as lean as one would.

`python -m benchmarks.peers.bare_gateway BOOTSTRAP PREFIX PORT SECRET`: verifies the signature, writes the raw delivery
and its event with acks=all under an idempotent producer, waits for both deliveries, answers 202. It remembers no
delivery, refuses no slow or large body, counts nothing and validates nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import orjson
import uvicorn
from confluent_kafka import KafkaError, Message, Producer
from fastavro import parse_schema, schemaless_writer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.avro.derive import avro_schema
from schemas.avro.registry import FileRegistry
from schemas.github import GithubIssueOpened
from schemas.webhook import WebhookReceived
from streams.gateway.serve import SERVER

Encode = Callable[[dict[str, Any]], bytes]


def encoder(model: type[GithubIssueOpened | WebhookReceived]) -> Encode:
    """Return what writes the fields of `model` as Avro in the Confluent wire format."""
    schema = parse_schema(avro_schema(model))
    prefix = b"\0" + FileRegistry().id_of(model).to_bytes(4, "big")

    def encode(fields: dict[str, Any]) -> bytes:
        out = BytesIO()
        out.write(prefix)
        schemaless_writer(out, schema, fields)
        return out.getvalue()

    return encode


def fields_of(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the event of an opened issue."""
    issue = payload["issue"]
    return {
        "repository": payload["repository"]["full_name"],
        "action": payload["action"],
        "sender": payload["sender"]["login"],
        "number": issue["number"],
        "title": issue["title"],
        "body": issue["body"] or "",
        "author": issue["user"]["login"],
        "url": issue["html_url"],
        "state": issue["state"],
        "labels": [label["name"] for label in issue["labels"]],
    }


def application(bootstrap: str, prefix: str, secret: bytes) -> Starlette:
    """Return the application; its producer starts with it."""
    raw_of, event_of = encoder(WebhookReceived), encoder(GithubIssueOpened)
    raw_topic, event_topic = f"{prefix}.webhooks.github", f"{prefix}.events"
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "partitioner": "murmur2_random",
        }
    )
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            producer.poll(0.1)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        producer.flush(10)
        stop.set()
        thread.join()

    def write(topic: str, key: str, value: bytes, id: str, kind: bytes) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                loop.call_soon_threadsafe(done.set_result, None)
            else:
                loop.call_soon_threadsafe(done.set_exception, RuntimeError(error.str()))

        headers = [
            ("ce_id", id.encode()),
            ("ce_type", kind),
            ("ce_source", b"/webhooks/github"),
            ("ce_time", datetime.now(UTC).isoformat().encode()),
            ("ce_specversion", b"1.0"),
            ("content-type", b"application/avro"),
        ]
        producer.produce(topic, value, key.encode(), headers=headers, on_delivery=delivered)
        return done

    async def github(request: Request) -> Response:
        body = await request.body()
        given = request.headers.get("x-hub-signature-256", "")
        wanted = "sha256=" + hmac.digest(secret, body, "sha256").hex()
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            return Response(status_code=401)
        event = fields_of(orjson.loads(body))
        delivery = request.headers["x-github-delivery"]
        headers = {name: value for name, value in request.headers.items() if "signature" not in name}
        raw = {"source": "github", "delivery_id": delivery, "headers": headers, "body": body}
        event_id = f"github/{delivery}/0"
        first = write(event_topic, event["repository"], event_of(event), event_id, b"github.issues.opened")
        await write(raw_topic, delivery, raw_of(raw), f"github/{delivery}", b"webhook.received")
        await first
        answer = orjson.dumps({"id": delivery, "events": [event_id], "runs": []})
        return Response(answer, 202, media_type="application/json")

    return Starlette(routes=[Route("/webhooks/github", github, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    _, where, named, port, key = sys.argv
    app = application(where, named, key.encode())
    uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=int(port), **SERVER)).run()
