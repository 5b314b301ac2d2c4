"""Property: a replay that dies anywhere and is gone on with makes the rows and outputs of one that never died."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import on, seconds
from streams.define.reactions import Reaction
from streams.replay import pace
from streams.replay.log import Arrival, ReplayLog, Stretch
from streams.replay.topic_replay import Replay, ReplayPlan
from tests.apps.pipeline.events import Counted, Echoed
from tests.unit.replay.test_bus import CODEC, TABLES, arrival, catalog
from topics.names import Names

PARTITIONS = 3


class Died(Exception):
    """The process is gone."""


@on(Counted)
def shout(event: Counted) -> list[Echoed] | None:
    return None if event.amount % 4 == 0 else [Echoed(name=event.name, amount=event.amount)]


@on(Counted, debounce=seconds(3), by="name")
def last_of(event: Counted) -> Echoed:
    return Echoed(name=event.name, amount=-event.amount)


REACTIONS: list[Reaction] = [shout, last_of]


class Disk:
    """What survives the death of a replay: what was acknowledged, and the positions."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str, str]] = []
        self.rows: dict[tuple[str, int, bytes], bytes] = {}
        self.next: dict[int, int] = {}


class MemoryLog(ReplayLog):
    """A log that holds what it is given."""

    def __init__(self, given: list[Arrival]) -> None:
        super().__init__(None, CODEC, Names(), catalog(*REACTIONS))  # type: ignore[arg-type]  # reaches no cluster
        self.given = given

    def stretch(self, topic: str, start: Any, end: Any) -> Stretch:
        ends = Counter(one.record.partition for one in self.given)
        return Stretch(topic, dict.fromkeys(range(PARTITIONS), 0), {n: ends[n] for n in range(PARTITIONS)})

    def records(self, stretch: Stretch, partition: int | None = None) -> Any:
        return iter([one for one in self.given if one.record.partition == partition])

    def arrival(self, record: Any) -> Arrival:
        return record  # type: ignore[no-any-return]  # records here are decoded already


class Sink:
    """Writes to the disk what was flushed; dies at its nth call."""

    into, left = "again", Counter[str]()

    def __init__(self, disk: Disk, dies_at: int | None) -> None:
        self.disk, self.dies_at, self.calls = disk, dies_at, 0
        self.written: Counter[str] = Counter()
        self.pending: list[Any] = []

    def called(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Died

    async def output(self, output: Any, at_ms: int) -> None:
        self.called()
        self.pending.append((output.id, f"{output.event!r} {at_ms}"))

    async def row(self, name: str, partition: int, key: bytes, value: bytes) -> None:
        self.called()
        self.disk.rows[name, partition, key] = value

    async def flush(self) -> None:
        self.called()
        self.disk.outputs += self.pending
        self.pending = []

    def resume(self) -> None: ...

    async def close(self) -> None: ...


class Place:
    """The positions on the disk."""

    resumed = True

    def __init__(self, disk: Disk) -> None:
        self.next = dict(disk.next)
        self.disk = disk

    async def begin(self, stretch: Stretch, *, go_on: bool) -> Stretch:
        return stretch

    async def note(self, partition: int, offset: int) -> None:
        assert offset >= self.disk.next.get(partition, 0)
        self.disk.next[partition] = self.next[partition] = offset

    async def close(self) -> None: ...


def stream(draw: random.Random, count: int) -> list[Arrival]:
    made, ends, now = [], [0] * PARTITIONS, 0
    for number in range(count):
        name = draw.choice("abcdef")
        partition = ord(name) % PARTITIONS
        now += draw.randrange(2000)
        event = draw.choice([Counted, Echoed, Counted])(name=name, amount=draw.randrange(20))
        made.append(arrival(ends[partition], event, f"e{number}", partition=partition, at_ms=now))
        ends[partition] += 1
    return made


async def replay(given: list[Arrival], disk: Disk, dies_at: int | None = None, stop_at: int | None = None) -> Any:
    sink = Sink(disk, dies_at)
    plan = ReplayPlan("events", "earliest", "latest", go_on=True)
    again: Replay

    def told(_what: str, done: int, _of: int | None) -> None:
        if done == stop_at:
            again.stop()

    again = Replay(MemoryLog(given), plan, sink, told, Place(disk))  # type: ignore[arg-type]  # all that it uses
    return await again.run()


@pytest.fixture(autouse=True)
def note_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note positions after each record, so that every place is one to die at."""
    monkeypatch.setattr(pace, "_NOTE_S", 0.0)


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), count=st.integers(0, 40))
def test_whatever_the_crash_point_rows_and_outputs_are_the_same(seed: int, count: int) -> None:
    draw = random.Random(seed)
    given_, straight, hurt = stream(draw, count), Disk(), Disk()
    asyncio.run(replay(given_, straight))
    for tries in itertools.count(1):
        dies_at, stop_at = draw.randrange(1, 20 * tries), draw.choice([None, draw.randrange(1, 20)])
        try:
            report = asyncio.run(replay(given_, hurt, dies_at, stop_at))
        except Died:
            continue
        if not report.stopped:
            break
    assert hurt.rows == straight.rows
    assert dict(hurt.outputs) == dict(straight.outputs)  # by id; what was made again says the same
    assert {len(set(said)) for said in by_id(hurt.outputs).values()} <= {1}
    assert hurt.next == straight.next


def by_id(outputs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id, said in outputs:
        found.setdefault(id, []).append(said)
    return found


async def test_tables_are_among_what_is_compared() -> None:
    disk = Disk()
    report = await replay(stream(random.Random(7), 40), disk)
    assert report.tables.keys() == {one.name for one in TABLES}
    assert {name.split(".")[1] for name, *_ in disk.rows} == {one.name for one in TABLES}
    assert report.reactions["last_of"]["outputs"] > 0


async def test_a_stopped_replay_says_so_and_does_the_rest_later() -> None:
    given_, disk = stream(random.Random(3), 30), Disk()
    first = await replay(given_, disk, stop_at=10)
    assert (first.stopped, disk.rows) == (True, {})
    assert sum(disk.next.values()) < len(given_)
    second = await replay(given_, disk)
    assert (second.stopped, sum(disk.next.values())) == (False, len(given_))
    assert set(Counter(id for id, _ in disk.outputs).values()) == {1}
