"""The Faust app of the product: its topics, and one Faust agent for each kind of thing that comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from streams.journal.store_keys import LEDGER
from streams.runtime.batch import RecordBatch
from streams.runtime.errors import DeadAssignmentError, OverlayConflictError, StoreError
from streams.runtime.faust.app import App

if TYPE_CHECKING:
    from streams.runtime.host import RuntimeHost
    from streams.runtime.runtime import Runtime
    from streams.worker.events.event_bus import EventBus
    from streams.worker.events.table_folds import TableFolds
    from streams.worker.runs.intake import RunIntake
    from streams.worker.runs.signals import SignalHandler
    from topics.names import Names


def build(
    runtime: Runtime,
    names: Names,
    pool: str,
    *,
    intakes: dict[str, RunIntake],
    signals: SignalHandler,
    bus: EventBus | None,
    folds: TableFolds,
    host: RuntimeHost,
) -> App:
    """Return an app in the running event loop that takes in runs and signals and, in the default pool, the bus."""
    app = App(runtime.settings.group, runtime=runtime, host=host, loop=asyncio.get_running_loop())
    _table(app, LEDGER, names.journal(pool))
    for spec in folds.specs:
        _table(app, spec.name, spec.topic)
    for name, intake in intakes.items():
        _agent(app, names.agents(name), f"intake.{name}", intake.take)
    _agent(app, names.signals, "signals", signals.take)
    if bus is not None:
        _agent(app, names.events, "bus", bus.take)
    return app


def _table(app: App, name: str, topic: str) -> None:
    changelog = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")
    app.Table(name, key_type=bytes, value_type=bytes, changelog_topic=changelog)


def _source(app: App, topic: str) -> Any:
    return app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")


def _agent(app: App, topic: str, name: str, take: Callable[[RecordBatch], Awaitable[None] | None]) -> None:
    async def handle(stream: Any) -> None:
        async for batch in stream.batches():
            await handled(app.runtime, batch, take)

    app.agent(_source(app, topic), name=name)(handle)


async def handled(runtime: Runtime, batch: RecordBatch, take: Callable[[RecordBatch], Awaitable[None] | None]) -> None:
    """Have a batch handled. An error that is no assignment's and not the infrastructure's is one of its records'.

    That record becomes a dead letter. The infrastructure's errors end the process: no record is to blame, and the
    next one would fail as well.
    """
    try:
        waits = take(batch)
        if waits is not None:
            await waits
    except (DeadAssignmentError, OverlayConflictError):
        raise  # the stream drops the partition's open work and reads it again
    except (StoreError, KafkaException, MemoryError) as error:
        runtime.crash(error)
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the same record would raise it for ever
        runtime.reject(batch, error)
