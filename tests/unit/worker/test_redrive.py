"""Redrives and the window in which repetitions are known: what was given up is handled again, all else only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.dead import DeadLettered, RedriveRequested
from schemas.parked_event import ParkedEvent
from schemas.run import RunHistoryGiven, RunSubmitted
from streams import clock
from streams.app import Catalog
from streams.journal import fork_histories
from streams.journal.dead_letters import taker_of
from streams.journal.journal_store import JournalStore
from streams.journal.parked_record import ParkedRecord
from streams.journal.record_writer import RecordWriter
from streams.journal.store_keys import FORK_WAITING, LEDGER
from streams.runtime.batch import RecordBatch
from streams.runtime.partition_store import PartitionStore
from streams.worker.events.event_bus import EventBus, seen_key
from streams.worker.events.table_folds import TableFolds, store_name
from streams.worker.reactions.event_item import ReactionItem
from streams.worker.runs.intake import RunIntake
from streams.worker.runs.redrive import DeadLetterRedrive
from tests.apps.pipeline.agents import work
from tests.apps.pipeline.events import Counted, Echoed
from tests.apps.pipeline.reactions import echo
from tests.apps.pipeline.tables import Count, counts
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names

CODEC = Codec(FileRegistry(own=[Counted, Echoed, Count]))
SENT_MS = 1_700_000_000_000


class Consumer:
    """One partition's consumers of the bus, of signals and of a queue; units are committed as they come."""

    def __init__(self, folder: Path) -> None:
        self.owned = owned_assignment(folder)
        assert self.owned.db is not None
        self.counts = PartitionStore(self.owned.db, store_name(counts), "t.counts", 0)
        self.owned.stores[self.counts.name] = self.counts
        self.ledger = self.owned.stores[LEDGER]
        self.writer = RecordWriter(Names(), CODEC, {**events(), "probe.counted": Counted}, "default")
        catalog = Catalog(reactions={"echo": echo}, tables={"counts": counts})
        self.bus = EventBus(catalog, TableFolds([counts], Names(), CODEC), cast("Any", self), self.writer)
        self.told: list[tuple[str, str]] = []
        manager = SimpleNamespace(
            find=lambda _owned, run: run, send_message=lambda run, said, _unit: self.told.append((run, said.id))
        )
        queue = RunIntake(
            work, cast("Any", manager), cast("Any", None), JournalStore(CODEC), self.writer, lambda _: None
        )
        self.redrives = DeadLetterRedrive({"work": queue}, self.bus, cast("Any", manager), self.writer)
        self.items: list[ReactionItem] = []
        self.letters: list[DeadLettered] = []

    # -- the lanes

    async def room(self, _owned: object) -> None: ...

    async def handle(self, _batch: object, items: list[ReactionItem]) -> None:
        self.items += items

    def park(self, _batch: object, item: ReactionItem) -> None:
        self.items.append(item)

    # -- what comes

    async def comes(self, value: bytes, id: str = "sent-1", at: int = 7, source: str = "/shop") -> None:
        """Let a record come on the bus."""
        batch = batch_of(self.owned, at, at)
        batch.messages[:] = [ParkedRecord(_row(value, id, at, source))]
        await self.bus.take(batch)
        self._commit(batch)

    def redriven(self, letter: DeadLettered, attempt: int = 1, **edits: Any) -> None:
        """Redrive a letter."""
        fields = {name: value for name, value in vars(letter).items() if name in RedriveRequested.model_fields}
        batch = batch_of(self.owned, 40, 40, "t.signals")
        self.redrives.take(batch, RedriveRequested(**{**fields, "attempt": attempt, **edits}))
        self._commit(batch)

    def _commit(self, batch: RecordBatch) -> None:
        assert self.owned.db is not None
        rows = list(batch.writes)
        batch.settle()
        self.owned.db.apply(rows, [])
        self.letters += [
            CODEC.decode(value, DeadLettered)
            for topic, value, *_ in batch.outs
            if topic == "dead-letters" and value is not None
        ]

    # -- what came of it

    def counted(self) -> int:
        row = self.counts.committed(b"n1")
        return 0 if row is None else CODEC.decode(row, Count).events


def _row(value: bytes, id: str, at: int, source: str) -> ParkedEvent:
    headers = {
        name: value if isinstance(value, bytes) else str(value).encode()
        for name, value in Attributes(id, "probe.counted", source, SENT_MS).to_headers()
    }
    return ParkedEvent(
        reaction="",
        lane="",
        event_id=id,
        source_topic="events",
        source_partition=0,
        source_offset=at,
        key=b"n1",
        value=value,
        headers=headers,
        timestamp_ms=SENT_MS,
    )


GOOD = CODEC.encode(Counted(name="n1"))


def letter(consumer: str, value: bytes = GOOD, **more: Any) -> DeadLettered:
    headers = _row(value, "sent-1", 7, "/shop").headers
    place = {"source_topic": "events", "source_partition": 0, "source_offset": 7, "key": b"n1"}
    return DeadLettered(
        dead_id=f"events-0-7-{consumer}",
        consumer=consumer,
        value=value,
        headers=headers,
        error="no",
        **{**place, **more},
    )


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[Consumer]:
    made = Consumer(tmp_path)
    yield made
    made.owned.close()


async def test_a_letter_is_not_taken_for_a_repetition_by_who_gave_it_up_and_by_nobody_else(consumer: Consumer) -> None:
    """Its id is remembered, since the table has counted it; the reaction gets it all the same, under the same id."""
    await consumer.comes(GOOD)
    await consumer.comes(GOOD, at=8)
    assert ([one.event_id for one in consumer.items], consumer.counted()) == (["sent-1"], 1)
    consumer.redriven(letter("echo"))
    assert ([one.event_id for one in consumer.items], consumer.counted()) == (["sent-1"] * 2, 1)


async def test_a_tables_letter_is_counted_by_that_table_alone(consumer: Consumer) -> None:
    await consumer.comes(GOOD)
    consumer.redriven(letter("table:counts"))
    assert (len(consumer.items), consumer.counted()) == (1, 2)


async def test_the_same_redrive_again_is_nothing_and_the_next_one_is_another(consumer: Consumer) -> None:
    for attempt in (1, 1, 2, 2, 1):
        consumer.redriven(letter("echo"), attempt)
    assert len(consumer.items) == 2


async def test_what_was_mended_is_remembered_when_its_sender_repeats_it(consumer: Consumer) -> None:
    """Nobody could read it, so nobody remembers its id: redriven it goes to all, and from then on the id is known."""
    await consumer.comes(b"no avro")
    assert ([one.consumer for one in consumer.letters], consumer.counted()) == (["events"], 0)
    consumer.redriven(consumer.letters[0], value=GOOD)
    assert (len(consumer.items), consumer.counted()) == (1, 1)
    await consumer.comes(GOOD, at=8)
    assert (len(consumer.items), consumer.counted()) == (1, 1)
    known = consumer.ledger.committed(seen_key("events", "sent-1"))
    assert known is not None
    assert clock.now_ms() - int(known) < 60_000, "the window begins when it is handled"


async def test_what_came_whole_meanwhile_is_not_counted_a_second_time(consumer: Consumer) -> None:
    await consumer.comes(b"no avro")
    await consumer.comes(GOOD, at=8)
    consumer.redriven(consumer.letters[0], value=GOOD)
    assert (len(consumer.items), consumer.counted()) == (1, 1)


async def test_what_still_cannot_be_read_is_the_same_letter_again(consumer: Consumer) -> None:
    await consumer.comes(b"no avro")
    consumer.redriven(consumer.letters[0])
    assert [(one.dead_id, one.attempts) for one in consumer.letters] == [
        ("events-0-7-events", 1),
        ("events-0-7-events", 2),
    ]
    assert consumer.ledger.committed(seen_key("events", "sent-1")) is None


def test_a_letter_of_a_reaction_that_is_not_here_goes_to_nobody(consumer: Consumer) -> None:
    consumer.redriven(letter("gone"))
    assert (consumer.items, consumer.counted()) == ([], 0)
    assert [one.error_type for one in consumer.letters] == ["UnknownConsumerError"]


def test_a_failed_or_parked_run_is_resumed_where_it_is_and_once_for_each_redrive(consumer: Consumer) -> None:
    """The letter carries no record: the run's journal has all, and the resume's id is the redrive's."""
    parked = letter("work", value=b"", run_id="r1", source_topic="agents.work", source_offset=-1)
    for attempt in (1, 1, 2):
        consumer.redriven(parked, attempt)
    assert consumer.told == [("r1", f"redrive/{parked.dead_id}/{number}") for number in (1, 2)]


def test_a_long_fork_that_was_refused_keeps_its_history_for_a_redrive_and_says_since_when(consumer: Consumer) -> None:
    batch = batch_of(consumer.owned, 3, 3)
    for number in range(3):
        fork_histories.keep(batch, RunHistoryGiven(run_id="f1", number=number, text="[]"))
    consumer._commit(batch)
    since = consumer.ledger.committed(FORK_WAITING + b"f1")
    assert since is not None
    assert clock.now_ms() - int(since) < 60_000
    batch = batch_of(consumer.owned, 4, 4)
    fork_histories.drop(batch, RunSubmitted(run_id="f1", agent="work", history_parts=3))
    consumer._commit(batch)
    assert list(consumer.ledger.scan_committed(b"f")) == []


async def test_what_repairs_in_place_write_is_known_by_its_id_like_anything_from_outside(consumer: Consumer) -> None:
    """Two who add the same at once add it once; what says something else has an id of its own and counts."""
    for at, (id, source) in enumerate([("e/echo/0", "left"), ("e/echo/0", "right"), ("e/echo/0~d1", "right")], 7):
        await consumer.comes(GOOD, id, at, f"/streams/replay/{source}")
    assert consumer.counted() == 2
    for at in (20, 21):
        await consumer.comes(GOOD, "e/echo/1", at, "/streams/workers/default")
    assert consumer.counted() == 4, "what workers write is committed once and not remembered: so repairs compare first"


@pytest.mark.parametrize("topic", ["events", "agents.work"])
def test_what_the_broker_refused_is_a_letter_of_whom_a_redrive_finds(consumer: Consumer, topic: str) -> None:
    """Whatever the topics' prefix is; a queue's letter is taken in again, one of the bus goes to all."""
    taker = taker_of(Names("shop"), Names("shop").topic(topic))
    assert taker == topic.removeprefix("agents.")
    consumer.redriven(letter(taker))
    assert len(consumer.items) == (taker == "events")
    assert [one.error_type for one in consumer.letters] == (["SchemaError"] if taker == "work" else [])


@pytest.mark.parametrize("consumer", ["table:gone", "gone"])
def test_a_redrive_to_a_consumer_that_is_not_here_is_a_letter_again(tmp_path: Path, consumer: str) -> None:
    it = Consumer(tmp_path)
    it.redriven(letter(consumer))
    assert [(one.consumer, one.attempts) for one in it.letters] == [(consumer, 2)]


def test_a_redrive_in_a_pool_without_a_bus_is_a_letter_again(tmp_path: Path) -> None:
    it = Consumer(tmp_path)
    it.redrives = DeadLetterRedrive({}, None, cast("Any", None), it.writer)
    it.redriven(letter("table:counts"))
    assert [(one.consumer, one.attempts) for one in it.letters] == [("table:counts", 2)]
