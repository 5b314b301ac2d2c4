"""A gateway on a log in memory: what was written can be looked at, owners say what the test wants."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import orjson
from pydantic import BaseModel, SecretStr
from starlette.applications import Starlette

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from schemas.catalogue import events
from schemas.worker import WorkerHeartbeat
from streams import Delivery, Reject, StartRun, agent, hmac_sha256, source, table
from streams.app import Catalog
from streams.choices import Budget
from streams.define.sources import SourceDef
from streams.engine.view import RunView
from streams.gateway.app import build
from streams.gateway.deliveries import Deliveries
from streams.gateway.deps import Deps
from streams.query.owners import OwnerUnavailableError
from streams.query.placement import Placement
from streams.query.wire import WorkerResponse
from streams.settings import ApiKey
from streams.sources.custom import custom
from streams.sources.github import github
from streams.sources.slack import slack
from streams.sources.standard import standard
from streams.tables.agent_stats import agent_stats
from streams.tables.runs import runs
from topics.errors import NotAcknowledged
from topics.names import Names
from topics.producer import Ack

SECRET = "It's a Secret to Everybody"
URL = "http://127.0.0.1:8000"


class Task(BaseModel):
    topic: str
    depth: int = 2


class Row(BaseModel):
    count: int = 0


class Opened(Event, type="help.opened", key="ticket"):
    ticket: str


CODEC = Codec(FileRegistry(own=[Opened]))


@agent(deadline=60.0)
async def research(task: Task) -> str:
    """Find out."""
    return task.topic


@agent(pool="scraper")
async def scraper(task: Task) -> str:
    """Fetch."""
    return task.topic


@table(of=[NewDataArrived], row=Row, lookups=["count"])
def counts(row: Row | None, event: Event) -> Row | None:
    """Count."""
    return row


@table(of=[NewDataArrived], row=Row, pool="scraper")
def pooled(row: Row | None, event: Event) -> Row | None:
    """Count in a pool of its own."""
    return row


@source(verify=hmac_sha256("x-help-signature"), once_per="x-help-delivery")
def helpdesk(delivery: Delivery) -> list[Event | StartRun] | None:
    """Turn a ticket into an event and a run."""
    body = delivery.json
    if body.get("reject"):
        raise Reject("not for us")
    if body.get("bug"):
        raise KeyError("field that is not there")
    if body.get("nothing"):
        return None
    return [Opened(ticket=body["ticket"]), StartRun(research, Task(topic=body["ticket"]))]


@dataclass
class Settings:
    gateway_host: str = "127.0.0.1"
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    advertised_url: str | None = None
    api_keys: tuple[ApiKey, ...] = ()
    webhook_secrets: Mapping[str, tuple[SecretStr, ...]] = field(
        default_factory=lambda: {
            "github": (SecretStr(SECRET),),
            "helpdesk": (SecretStr("old"), SecretStr("new")),
            "slack": (SecretStr("8f742231b10e8888abcd99yyyzzz85a5"),),
            "standard": (SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
        }
    )


@dataclass
class Written:
    topic: str
    event: Event
    id: str
    key: str | None
    headers: Mapping[str, str]
    traceparent: str | None
    source: str | None
    time_ms: int | None
    partition: int | None = None


@dataclass
class FakePending:
    ack: Ack
    down: bool = False
    error: BaseException | None = None

    async def acknowledged(self) -> Ack:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.down:
            raise NotAcknowledged(f"{self.ack.topic}: not acknowledged")
        return self.ack


@dataclass
class FakeLog:
    """A producer: acknowledges at once, or, when `down`, never.

    By topic: `refused` raises when a record is begun, `failing` when its acknowledgement is awaited, `unseen` writes
    the record and raises all the same, as a connection does that breaks before the answer.
    """

    written: list[Written] = field(default_factory=list)
    down: bool = False
    error: Exception | None = None
    refused: dict[str, Exception] = field(default_factory=dict)
    failing: dict[str, BaseException] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)

    def begin(
        self,
        topic: str,
        event: Event,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        source: str | None = None,
        time_ms: int | None = None,
        partition: int | None = None,
    ) -> FakePending:
        if self.error:
            raise self.error
        if topic in self.refused:
            raise self.refused[topic]
        CODEC.encode(event)
        if topic in self.failing:
            return FakePending(Ack(id or "random", topic, -1, -1), error=self.failing[topic])
        if self.down:
            return FakePending(Ack(id or "random", topic, -1, -1), down=True)
        key = event.key_text() if key is None else key
        self.written.append(
            Written(topic, event, id or "random", key, headers or {}, traceparent, source, time_ms, partition)
        )
        ack = Ack(id or "random", topic, 1, len(self.written) - 1)
        return FakePending(ack, down=topic in self.unseen)

    def heal(self) -> None:
        self.refused.clear()
        self.failing.clear()
        self.unseen.clear()

    def on(self, topic: str) -> list[Written]:
        return [record for record in self.written if record.topic == topic]


@dataclass
class FakeOwners:
    """Workers: `says` maps pool and path (without query) to an answer, else 404; a silent pool answers nothing."""

    says: dict[tuple[str, str], WorkerResponse] = field(default_factory=dict)
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    posted: list[tuple[str, str, Any]] = field(default_factory=list)
    lacking: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    spoken: dict[str, Any] = field(default_factory=lambda: {"runs": {}})

    def pools(self) -> list[str]:
        return [pool for pool in ("default", "scraper") if pool not in self.silent]

    def unserved(self, pool: str, agent: str) -> list[int]:
        return self.lacking.get((pool, agent), [])

    def workers(self) -> list[dict[str, Any]]:
        placement = Placement()
        beat = WorkerHeartbeat(
            worker_id="w0", pool="default", url="http://w0", pid=1, host="h", started_ms=1, at_ms=1, state="running"
        )
        placement.apply("w0", beat, 1)
        return placement.workers(1)

    async def ask(self, pool: str, key: str, path: str) -> WorkerResponse:
        self.asked.append((pool, key, path))
        if pool in self.silent:
            raise OwnerUnavailableError(f"No worker of pool '{pool}' answers")
        return self.says.get((pool, path.partition("?")[0]), WorkerResponse(404, b"{}"))

    async def ask_stale(self, pool: str, key: str, path: str) -> WorkerResponse:
        copy = self.says.get((pool, path.replace("/owner/", "/standby/")))
        if pool in self.silent and copy is not None:
            self.asked.append((pool, key, path))
            return copy
        return await self.ask(pool, key, path)

    async def ask_all(self, pool: str, path: str) -> list[WorkerResponse]:
        self.asked.append((pool, "", path))
        if pool in self.silent:
            raise OwnerUnavailableError(f"No worker of pool '{pool}' answers")
        return [WorkerResponse(200, orjson.dumps(part)) for part in self.parts.get(pool, [])]

    async def post_all(self, pool: str, path: str, body: bytes) -> list[WorkerResponse]:
        self.posted.append((pool, path, orjson.loads(body)))
        return [] if pool in self.silent else [WorkerResponse(200, orjson.dumps(self.spoken))]

    def knows(self, run_id: str, pool: str = "default", **view: Any) -> None:
        body = {**RunView(run_id, "research").to_json(), "status": "running", **view}
        self.says[pool, f"/owner/runs/{run_id}"] = WorkerResponse(200, orjson.dumps(body))


def catalog() -> Catalog:
    found = events()
    found[Opened.event_type] = Opened
    return Catalog(
        agents={"research": research, "scraper": scraper},
        sources={"github": github, "slack": slack, "standard": standard, "custom": custom, "helpdesk": helpdesk},
        tables={"counts": counts, "pooled": pooled, "runs": runs, "agent_stats": agent_stats},
        events=found,
    )


@dataclass
class World:
    app: Starlette
    client: httpx.AsyncClient
    log: FakeLog
    owners: FakeOwners

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, json=body, headers=named)

    async def deliver(
        self, body: Any, event: str = "issues", delivery: str | None = "d-1", **more: str
    ) -> httpx.Response:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"x-github-event": event, "x-hub-signature-256": signed(raw), **more}
        if delivery is not None:
            headers["x-github-delivery"] = delivery
        return await self.client.post("/webhooks/github", content=raw, headers=headers)


@asynccontextmanager
async def world(
    settings: Settings | None = None,
    *,
    log: FakeLog | None = None,
    deliveries: Deliveries | None = None,
    sources: Mapping[str, SourceDef] | None = None,
    **deps: Any,
) -> AsyncIterator[World]:
    log, owners = log or FakeLog(), FakeOwners()
    found = catalog()
    found = replace(found, sources={**found.sources, **(sources or {})})
    app = build(Deps(settings or Settings(), found, log, owners, Names(), **deps), deliveries=deliveries)
    async with httpx.AsyncClient(transport=connect(app), base_url=URL) as client:
        yield World(app, client, log, owners)


def connect(app: Starlette) -> httpx.AsyncBaseTransport:
    """Return what carries requests to the gateway; tests/flow puts one in its place that checks every answer."""
    return httpx.ASGITransport(app=app, raise_app_exceptions=True)


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def api_key(text: str, *scopes: str) -> ApiKey:
    return ApiKey.model_validate({"key": text, "scopes": frozenset(scopes)})


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Return the problem, after checking that it is the one, in its media type, with nothing internal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:streams:problem:{kind}"
    assert body["status"] == status
    assert "Traceback" not in response.text
    return body
