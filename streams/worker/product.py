"""The Faust app of the product: its topics, and one Faust agent for each kind of thing that comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streams.worker.journal import LEDGER
from streams.worker.seam.app import App
from streams.worker.state.batch import Batch

if TYPE_CHECKING:
    from streams.worker.bus import Bus
    from streams.worker.folds import Folds
    from streams.worker.runs.intake import Intake
    from streams.worker.runs.signals import Signals
    from streams.worker.runtime import Runtime
    from topics.names import Names


def build(
    runtime: Runtime,
    names: Names,
    pool: str,
    *,
    intakes: dict[str, Intake],
    signals: Signals,
    bus: Bus | None,
    folds: Folds,
) -> App:
    """Return an app that takes in runs, hears signals and, in the default pool, handles the bus."""
    app = App(runtime.settings.group, runtime=runtime)
    _table(app, LEDGER, names.journal(pool))
    for spec in folds.specs:
        _table(app, spec.name, spec.topic)
    for name, intake in intakes.items():
        _agent(app, names.agents(name), f"intake.{name}", intake.take)
    _agent(app, names.signals, "signals", signals.take)
    if bus is not None:
        _bus_agent(app, names.events, bus)
    return app


def _table(app: App, name: str, topic: str) -> None:
    changelog = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")
    app.Table(name, key_type=bytes, value_type=bytes, changelog_topic=changelog)


def _source(app: App, topic: str) -> Any:
    return app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")


def _agent(app: App, topic: str, name: str, take: Callable[[Batch], None]) -> None:
    async def handle(stream: Any) -> None:
        async for batch in stream.batches():
            take(batch)

    app.agent(_source(app, topic), name=name)(handle)


def _bus_agent(app: App, topic: str, bus: Bus) -> None:
    async def handle(stream: Any) -> None:
        async for batch in stream.batches():
            await bus.take(batch)

    app.agent(_source(app, topic), name="bus")(handle)
