"""Reads of the log that nobody waits for any more end, so that one caller's slow reads do not stop everybody's."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import pytest

from streams.gateway import threads as module
from streams.gateway.access import Caller
from streams.gateway.operation import OperationCall
from streams.gateway.problem import Problem
from streams.gateway.threads import GatewayThreads
from tests.faults.rig.waiting import until
from topics import reader
from topics.errors import ReadCancelledError
from topics.kafka import KafkaConfig
from topics.reader import cancellable, read


class EndlessMessage:
    """A record of another key."""

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return b"another"

    def value(self) -> bytes:
        return b""

    def headers(self) -> list[Any]:
        return []

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 1

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class EndlessConsumer:
    """A topic in which a filter finds nothing, however long it is read; or one from which nothing comes."""

    open: ClassVar[list[EndlessConsumer]] = []
    silent: ClassVar[bool] = False

    def __init__(self, *_: Any, **__: Any) -> None:
        self.open.append(self)

    def list_topics(self, topic: str, timeout: float) -> Any:
        class Known:
            error = None
            partitions: ClassVar[dict[int, None]] = {0: None}

        class Listed:
            topics: ClassVar[dict[str, Any]] = {topic: Known}

        return Listed

    def get_watermark_offsets(self, _: Any, timeout: float) -> tuple[int, int]:
        return 0, 1_000_000

    def assign(self, _: Any) -> None:
        return

    def poll(self, seconds: float) -> EndlessMessage | None:
        if self.silent:
            threading.Event().wait(seconds)
            return None
        return EndlessMessage()

    def consume(self, *_: Any) -> list[EndlessMessage]:
        return []

    def close(self) -> None:
        self.open.remove(self)


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "Consumer", EndlessConsumer)
    monkeypatch.setattr(module, "_PATIENCE", 0.1)


def never() -> list[Any]:
    return list(read(KafkaConfig("nowhere:1"), "t", key=b"wanted"))


def call(name: str = "somebody", gone: asyncio.Event | None = None) -> OperationCall:
    """Return a request of an API key; its client is there until `gone` is set."""

    async def receive() -> dict[str, Any]:
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return OperationCall({"type": "http", "headers": []}, receive, Caller(name, frozenset({"read"})))


async def ended() -> None:
    await until(lambda: not EndlessConsumer.open)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_read_that_takes_too_long_ends_and_others_get_their_turn(
    monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    monkeypatch.setattr(EndlessConsumer, "silent", silent)
    threads = GatewayThreads()
    told = await asyncio.gather(*(threads.run(never, call()) for _ in range(40)), return_exceptions=True)
    assert {type(one) for one in told} == {Problem}
    await ended()
    assert await threads.run(lambda: "read", call("another")) == "read"


async def test_the_read_of_a_caller_who_has_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 3600.0)
    threads = GatewayThreads()
    reading = [asyncio.ensure_future(threads.run(never, call())) for _ in range(40)]
    await until(lambda: bool(EndlessConsumer.open))
    for one in reading:
        one.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await ended()
    assert await threads.run(lambda: "read", call("another")) == "read"


async def test_a_read_ends_when_its_client_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uvicorn does not cancel a handler then: 64 such reads kept all threads for 20 s each."""
    monkeypatch.setattr(module, "_PATIENCE", 3600.0)
    threads, gone = GatewayThreads(), asyncio.Event()
    reading = [asyncio.ensure_future(threads.run(never, call(gone=gone), watch=True)) for _ in range(40)]
    await until(lambda: bool(EndlessConsumer.open))
    gone.set()
    ends = await asyncio.gather(*reading, return_exceptions=True)
    assert {type(end) for end in ends} == {Problem}
    await ended()


async def test_slow_reads_of_one_key_leave_threads_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 3600.0)
    threads = GatewayThreads()
    reading = [asyncio.ensure_future(threads.run(never, call())) for _ in range(40)]
    await until(lambda: len(EndlessConsumer.open) == module._SHARE)
    assert await threads.run(lambda: "read", call("another")) == "read"
    for one in reading:
        one.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await ended()


async def test_slow_reads_leave_the_threads_of_others_alone() -> None:
    threads = GatewayThreads()
    reading = [asyncio.ensure_future(threads.run(never, call())) for _ in range(64)]
    assert await asyncio.to_thread(lambda: "checked") == "checked"
    await asyncio.gather(*reading, return_exceptions=True)
    await ended()


def test_a_read_outside_of_such_a_block_is_not_cancelled() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with cancellable(cancelled), pytest.raises(ReadCancelledError):
        never()
    found = read(KafkaConfig("nowhere:1"), "t", key=b"another")
    assert next(found).key == b"another"
    found.close()  # type: ignore[attr-defined]  # a generator
