"""Property: events again make the rows that a worker made of them, byte by byte, whatever it lost and read again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import Event
from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams import Retry, RetryPolicy, StartRun, on, seconds, table
from streams.app import Catalog
from streams.define.reactions import Reaction
from streams.define.tables import TableDef
from streams.replay.bus import BusReplay
from streams.replay.log import Arrival
from streams.worker.events.table_folds import TableFolds, store_name
from tests.apps.pipeline.agents import Task, work
from tests.apps.pipeline.events import Counted, Echoed
from tests.apps.pipeline.tables import Count, counts, echoes
from topics.names import Names
from topics.reader import RawRecord


@table(of=[Counted, Echoed], row=Count)
def odd(row: Count | None, event: Event) -> Count | None:
    """Fold two types, delete rows now and then, and fail at some events."""
    before = row or Count()
    amount = event.amount if isinstance(event, Counted | Echoed) else 0
    if amount == 13:
        raise ValueError("no luck")
    return None if amount % 5 == 0 else Count(events=before.events + 1, total=before.total * 3 + amount)


TABLES: list[TableDef] = [odd, counts, echoes]  # the one that fails first: the others have its event all the same
CODEC = Codec(FileRegistry(own=[Counted, Echoed]))


def catalog(*reactions: Reaction) -> Catalog:
    return Catalog(
        tables={one.name: one for one in TABLES},
        events={"probe.counted": Counted, "probe.echoed": Echoed},
        reactions={one.name: one for one in reactions},
    )


class Store(dict[bytes, bytes]):
    """A table's rows on one partition; with an overlay of what is not committed."""

    index = None


class Worker:
    """What a worker does with the rows of one partition: batches that commit whole or not at all."""

    def __init__(self) -> None:
        self.folds = TableFolds(TABLES, Names(), CODEC)
        self.committed: dict[str, dict[bytes, bytes]] = {store_name(one): {} for one in TABLES}
        self.seen: set[str] = set()
        self.next = 0

    def take(self, arrivals: list[Arrival], *, crash: bool) -> None:
        self.stores = {name: Store(rows) for name, rows in self.committed.items()}
        self.assignment = self
        seen = set(self.seen)
        for arrival in arrivals:
            attributes = arrival.attributes
            if attributes is None or arrival.event is None or attributes.id in seen:
                continue
            seen.add(attributes.id)
            self.folds.fold(self, arrival.event, arrival.record.key)  # type: ignore[arg-type]  # all that it uses
        if not crash:
            self.committed = {name: dict(rows) for name, rows in self.stores.items()}
            self.seen, self.next = seen, self.next + len(arrivals)

    def put(self, store: Store, key: bytes, value: bytes | None) -> None:
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value


def arrival(offset: int, event: Event | None, id: str, *, partition: int = 0, at_ms: int = 0) -> Arrival:
    key = None if event is None else (event.key_text() or "").encode()
    kind = "probe.unknown" if event is None else event.event_type
    record = RawRecord("events", partition, offset, at_ms, key, b"", [])
    return Arrival(record, Attributes(id, kind, "/somewhere", at_ms), event)


def stream(draw: random.Random, count: int) -> list[Arrival]:
    made = []
    for offset in range(count):
        kind = draw.choice([Counted, Echoed, None])
        event = None if kind is None else kind(name=draw.choice("abcd"), amount=draw.randrange(20))
        made.append(arrival(offset, event, f"e{draw.randrange(count)}"))
    return made


async def replayed(arrivals: list[Arrival], *reactions: Reaction) -> tuple[BusReplay, list[Any]]:
    bus = BusReplay(catalog(*reactions), CODEC)
    out = [one for each in arrivals for one in await bus.handle(each)]
    return bus, out + await bus.finish()


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), count=st.integers(0, 60))
def test_rows_are_equal_byte_by_byte(seed: int, count: int) -> None:
    draw = random.Random(seed)
    arrivals, worker = stream(draw, count), Worker()
    while worker.next < count:
        worker.take(arrivals[worker.next : worker.next + draw.randint(1, 9)], crash=draw.random() < 0.4)
    bus, _ = asyncio.run(replayed(arrivals))
    for one in TABLES:
        assert {key: row for (_, key), row in bus.rows.rows[one.name].items()} == worker.committed[store_name(one)]


async def test_outputs_have_the_ids_that_they_had() -> None:
    @on(Counted)
    def react(event: Counted) -> list[Any]:
        return [Echoed(name=event.name, amount=1), StartRun(work, Task(folder="x"))]

    _, out = await replayed([arrival(0, Counted(name="a"), "e1", at_ms=5)], react)
    _, again = await replayed([arrival(0, Counted(name="a"), "e1", at_ms=5)], react)
    assert [(at, one.to, one.id) for at, one in out] == [(at, one.to, one.id) for at, one in again]
    assert (out[0][1].id, out[1][1].agent, out[1][1].event.agent) == ("e1/react/0", "work", "work")


async def test_a_reaction_is_tried_as_often_as_its_policy_says_without_waiting() -> None:
    tried = []

    @on(Counted, retry=RetryPolicy(attempts=3, first=3600))
    def react(event: Counted) -> None:
        tried.append(event)
        raise Retry(after=3600) if len(tried) < 3 else ConnectionError("still down")

    bus, out = await replayed([arrival(0, Counted(name="a"), "e1")], react)
    assert (len(tried), out, bus.counts["react"]) == (3, [], {"events": 1, "failed": 1})
    assert bus.errors == ["react on e1: ConnectionError: still down"]


async def test_a_window_hands_over_its_last_event() -> None:
    seen: list[int] = []

    @on(Counted, debounce=seconds(5), by="name")
    async def react(event: Counted) -> None:
        seen.append(event.amount)

    times = [(0, 1), (3000, 2), (7000, 3), (20_000, 4)]
    await replayed([arrival(n, Counted(name="a", amount=n), f"e{n}", at_ms=at) for at, n in times], react)
    assert seen == [3, 4]


async def test_events_are_collected_by_number_and_by_time() -> None:
    seen: list[list[int]] = []

    @on(Counted, batch=3, within=seconds(5), by="name")
    async def react(events: list[Counted]) -> Echoed:
        seen.append([event.amount for event in events])
        return Echoed(name=events[0].name, amount=len(events))

    times = [(0, 1), (1000, 2), (2000, 3), (3000, 4), (7900, 5), (20_000, 6)]
    _, out = await replayed([arrival(n, Counted(name="a", amount=n), f"e{n}", at_ms=at) for at, n in times], react)
    assert seen == [[1, 2, 3], [4, 5], [6]]
    assert [(at, one.id) for at, one in out] == [(2000, "e1/react/0"), (8000, "e4/react/0"), (25_000, "e6/react/0")]


async def test_a_reaction_that_reaches_outside_is_a_miss() -> None:
    import socket

    @on(Counted)
    def react(event: Counted) -> None:
        socket.getaddrinfo("localhost", 80)

    bus, _ = await replayed([arrival(0, Counted(name="a"), "e1")], react)
    assert [(miss.kind, miss.name) for miss in bus.misses] == [("reaction", "react")]


def test_a_table_that_fails_holds_no_other_back_and_can_be_folded_alone() -> None:
    worker = Worker()
    worker.take([arrival(0, Counted(name="a", amount=13), "e0")], crash=False)
    assert worker.committed[store_name(counts)] != {}
    assert worker.committed[store_name(odd)] == {}
    before = dict(worker.committed[store_name(counts)])
    failed = worker.folds.fold(worker, Counted(name="a", amount=12), b"a", odd.name)  # type: ignore[arg-type]
    assert failed == []
    assert worker.stores[store_name(odd)] != {}
    assert worker.stores[store_name(counts)] == before
