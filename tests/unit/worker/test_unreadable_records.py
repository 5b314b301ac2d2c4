"""A record that cannot be handled is one dead letter, whatever its error; the infrastructure's errors stop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.run import RunSubmitted
from streams.runtime.errors import DeadAssignmentError, OverlayConflictError, StoreError
from streams.worker.events import event_bus as bus_module
from streams.worker.events.event_bus import EventBus
from streams.worker.faust_app import handled
from streams.worker.runs import intake as intake_module
from streams.worker.runs import signals as signals_module
from streams.worker.runs.intake import RunIntake
from streams.worker.runs.signals import SignalHandler
from topics.names import Names

ERRORS: list[Callable[[], BaseException]] = [
    RecursionError,
    lambda: UnicodeError("half of a pair"),
    lambda: OverflowError("too large"),
    lambda: SystemExit(3),
    lambda: Exception("any"),
]


class Message:
    """A record; number 2 cannot be read."""

    def __init__(self, number: int) -> None:
        self.number = number

    def key(self) -> bytes:
        return b"run"

    def headers(self) -> list[Any]:
        return []

    def value(self) -> bytes:
        return b""

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Courier:
    """Reads all but one."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.names = Names()
        self._make = make

    def read(self, message: Message) -> Any:
        if message.number == 2:
            raise self._make()
        event = RunSubmitted(run_id="run", agent="work", input=message.number)
        return SimpleNamespace(
            event=event, attributes=SimpleNamespace(id=str(message.number), traceparent=None), foreign=False
        )


BATCH = cast(
    "Any", SimpleNamespace(messages=[Message(1), Message(2), Message(3)], assignment=SimpleNamespace(live=False))
)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return where the numbers of dead letters go."""
    found: list[int] = []

    def letter(_batch: Any, _writer: Any, message: Message, _error: Any, _consumer: str) -> None:
        found.append(message.number)

    for module in (intake_module, signals_module, bus_module):
        monkeypatch.setattr(module, "dead_letter", letter)
    return found


@pytest.mark.parametrize("make", ERRORS)
async def test_what_cannot_be_read_is_a_dead_letter_and_its_neighbours_are_handled(
    make: Callable[[], BaseException], letters: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[Any] = []
    nothing, writer = cast("Any", None), cast("Any", Courier(make))
    agent = cast("Any", SimpleNamespace(name="work"))
    intake = RunIntake(agent, nothing, nothing, nothing, writer, lambda stage: None)
    monkeypatch.setattr(intake, "_submit", lambda batch, event: passed.append(event.input))
    intake.take(BATCH)
    signals = SignalHandler(
        nothing,
        writer,
        nothing,
        "default",
        key_gate=nothing,
        handlers={},
    )
    monkeypatch.setattr(signals, "_handle", lambda batch, record, event: passed.append(event.input))
    signals.take(BATCH)

    async def room(_owned: Any) -> None:
        return

    catalog = cast("Any", SimpleNamespace(reactions={}))
    folds = cast("Any", SimpleNamespace(consumers={}))
    bus = EventBus(catalog, folds, cast("Any", SimpleNamespace(room=room)), writer)
    monkeypatch.setattr(bus.positions, "begin", lambda _batch: {})

    def handle(_batch: Any, _message: Any, _event_id: str, event: Any, _passed: Any) -> list[Any]:
        passed.append(event.input)
        return []

    monkeypatch.setattr(bus, "_handle", handle)
    await bus.take(BATCH)
    assert passed == [1, 3] * 3
    assert letters == [2] * 3


class Runtime:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.rejected: list[Exception] = []
        self.crashed: list[Exception] = []

    def reject(self, batch: Any, error: Exception) -> None:
        self.rejected.append(error)

    def crash(self, error: Exception) -> None:
        self.crashed.append(error)


def _raising(error: Exception) -> Callable[[Any], None]:
    def take(_batch: Any) -> None:
        raise error

    return take


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), OSError("a validator's own"), AssertionError()])
async def test_an_unforeseen_error_is_one_of_the_records(error: Exception) -> None:
    runtime = Runtime()
    await handled(cast("Any", runtime), BATCH, _raising(error))

    async def waits(_batch: Any) -> None:
        raise error

    await handled(cast("Any", runtime), BATCH, waits)
    assert (runtime.rejected, runtime.crashed) == ([error, error], [])


@pytest.mark.parametrize(
    "error", [StoreError("io"), KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), MemoryError()], ids=repr
)
async def test_an_error_of_the_infrastructure_ends_the_worker(error: Exception) -> None:
    runtime = Runtime()
    with pytest.raises(type(error)):
        await handled(cast("Any", runtime), BATCH, _raising(error))
    assert (runtime.rejected, runtime.crashed) == ([], [error])


@pytest.mark.parametrize("error", [DeadAssignmentError("gone"), OverlayConflictError("two")], ids=repr)
async def test_an_error_of_the_assignment_reads_the_batch_again(error: Exception) -> None:
    runtime = Runtime()
    with pytest.raises(type(error)):
        await handled(cast("Any", runtime), BATCH, _raising(error))
    assert (runtime.rejected, runtime.crashed) == ([], [])
