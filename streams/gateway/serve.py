"""The gateway as a process: real producer, owners and history behind the application, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import platform
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx
import uvicorn

from schemas.errors import SchemaError
from schemas.worker import WorkerHeartbeat
from streams import telemetry
from streams.app import discover
from streams.clock import now_ms
from streams.gateway.app import build
from streams.gateway.deliveries import SIGNED_ID, Deliveries
from streams.gateway.deps import Check, Deps
from streams.gateway.model_check import ModelCheck
from streams.gateway.secrets import check_strength
from streams.gateway.worker_check import WorkerCheck
from streams.query.changes import RunChanges
from streams.query.cluster import cluster_secret, secured
from streams.query.codec import codec_of
from streams.query.dead_letters import DeadLetterIndex
from streams.query.history import TopicHistory
from streams.query.owners import Owners
from streams.query.partitions import Partitions
from streams.query.sql.process import SqlProcesses
from streams.query.topic_follower import Follower, heartbeats
from streams.query.wire import Wire
from streams.replay.log import ReplayLog
from streams.replay.tables import rows_of
from streams.serving.protocol import BoundedProtocol, bounded
from streams.tracing import exporter
from topics.catalogue import catalogue
from topics.groups import waiting
from topics.names import Names
from topics.producer import EventProducer
from topics.reader import follow_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import FrameType

    from starlette.applications import Starlette

    from schemas.avro.codec import Codec
    from streams.app import Catalog
    from streams.gateway.sse import Streams
    from streams.settings import Settings
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord

log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 30
DRAIN_S: Final = 10
MAX_CONNECTIONS: Final = 4_096

SERVER: Final[Mapping[str, Any]] = {
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": DRAIN_S,
    "limit_concurrency": MAX_CONNECTIONS,
    "http": BoundedProtocol,
    "ws": "none",
    "loop": "uvloop",
    "access_log": False,
    "server_header": False,
    "log_config": None,
}
"""How uvicorn serves; benchmarks take the same for what they compare with."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way get DRAIN_S seconds to end."""
    settings = secured(settings)
    telemetry.configure(settings)
    app = application(settings)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            **{**SERVER, "http": bounded(settings.gateway_connections_per_address)},
        ),
        app.state.streams,
    )
    server.run()


class _Server(uvicorn.Server):
    """Ends the streams at the signal to stop: whoever reads one would hold the gateway up until it drains."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self._streams = streams

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._streams.close()
        super().handle_exit(sig, frame)


def application(settings: Settings) -> Starlette:
    """Return the gateway for these settings; it connects when it starts, not before."""
    check_strength(settings.webhook_secrets)
    catalog = discover(settings.apps)
    codec = codec_of(settings, catalog)
    names = Names(settings.topic_prefix)
    kafka = settings.kafka()
    deliveries = Deliveries()
    partitions = Partitions(kafka, names, settings.partitions)
    client = httpx.AsyncClient(trust_env=False)
    wire = Wire(cluster_secret(settings))
    owners = Owners(partitions.count, wire)
    producer = EventProducer(kafka, codec, "/gateway", now_ms=now_ms)
    topics = catalogue(
        settings.topic_prefix,
        agents=[(agent.name, agent.pool) for agent in catalog.agents.values()],
        sources=sorted(catalog.sources),
        tables=catalog.changelogs(),
        own=list(catalog.topics.values()),
    )
    history = TopicHistory(kafka, codec, topics)
    followers = [
        heartbeats(kafka, names.workers, _heartbeats(owners, codec)),
        *(
            Follower(
                kafka,
                names.webhooks(name),
                _seen(deliveries, name),
                read=follow_keys if source.signed_id is None else partial(follow_keys, header=SIGNED_ID),
                lazy=True,
            )
            for name, source in catalog.sources.items()
        ),
    ]
    checks: dict[str, Check] = {
        "broker": partitions.check,
        "producer": producer.check,
        "topics": partitions.check_topics([topic.name for topic in topics]),
        "model": ModelCheck(settings, client),
        "workers": WorkerCheck(owners, _queues(catalog, names), partial(_waiting, kafka, names)),
    }
    changes = RunChanges(kafka, names)
    letters = DeadLetterIndex(kafka, names, codec)
    past = rows_of(ReplayLog(kafka, codec, names, catalog))
    export = exporter(settings.otlp_endpoint, "gateway", f"{platform.node()}/{os.getpid()}")
    deps = Deps(
        settings,
        catalog,
        producer,
        owners,
        names,
        history,
        changes,
        letters,
        past,
        checks,
        export=export,
        sql=SqlProcesses(settings),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        owners.serve_here()
        for follower in followers:
            follower.begin()
        await partitions.check()
        gc.collect()
        gc.freeze()  # what is loaded by now stays: looking through it again and again would stop requests for 60 ms
        gc.set_threshold(10_000, 20, 20)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(app.state.token_fanout.run())
                yield
                listening.cancel()
        finally:
            await asyncio.to_thread(changes.end)
            for follower in followers:
                await asyncio.to_thread(follower.end)
            await producer.close()
            await wire.aclose()
            await client.aclose()
            if export is not None:
                await asyncio.to_thread(export.close)

    return build(deps, deliveries=deliveries, lifespan=lifespan)


def _queues(catalog: Catalog, names: Names) -> dict[str, list[str]]:
    """Return the topics of the agents of each pool."""
    found: dict[str, list[str]] = {}
    for agent in catalog.agents.values():
        found.setdefault(agent.pool, []).append(names.agents(agent.name))
    return found


def _waiting(kafka: KafkaConfig, names: Names, pool: str, queues: Sequence[str]) -> int:
    return waiting(kafka, names.topic(f"streams.{pool}"), queues)


def _heartbeats(owners: Owners, codec: Codec) -> Any:
    def take(record: RawRecord) -> None:
        worker_id = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            owners.take_heartbeat(worker_id, None)
            return
        try:
            owners.take_heartbeat(worker_id, codec.decode(record.value, WorkerHeartbeat))
        except SchemaError as error:
            log.warning("a heartbeat of %s cannot be read: %s", worker_id, error)

    return take


def _seen(deliveries: Deliveries, source: str) -> Any:
    def take(found: list[tuple[bytes, bytes | None]]) -> None:
        for key, signed_id in found:
            signed = None if signed_id is None else signed_id.decode("utf-8", "replace")
            deliveries.remember(source, key.decode("utf-8", "replace"), signed)

    return take
