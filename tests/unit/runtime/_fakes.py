"""Stand-ins for the log and the group, so that the worker's pure parts are driven step by step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.batch import RecordBatch
from streams.runtime.commit_unit import CommitUnit, DeferredRow, Out, Write
from streams.runtime.committer import Committer, Rows
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.runtime.record import ConsumedRecord

JOURNAL, COUNTS = "journal", "counts"
TOPICS = {"t.journal": "id-j", "t.counts": "id-c"}


@dataclass
class Message:
    """A record of a source."""

    at: int

    def offset(self) -> int:
        return self.at

    def __len__(self) -> int:
        return 100


def owned_assignment(folder: Path, number: int = 0, applied: int = 10) -> PartitionAssignment:
    """Return a ready assignment with two sources and two stores."""
    made = PartitionAssignment(number, {topic: SourcePartition(topic) for topic in ("t.in", "t.signals")})
    for source in made.sources.values():
        source.applied = applied
    made.db = PartitionDatabase(folder / str(number), StoreOptions())
    made.stores = {name: PartitionStore(made.db, name, f"t.{name}", number) for name in (JOURNAL, COUNTS)}
    made.ready = True
    return made


def batch_of(owned: PartitionAssignment, first: int, last: int, topic: str = "t.in") -> RecordBatch:
    """Return a sealed batch of the records with these offsets."""
    messages = cast("list[ConsumedRecord]", [Message(at) for at in range(first, last + 1)])
    made = RecordBatch(owned.sources[topic], messages, 1, lambda _batch: None)
    made.started = True
    return made


@dataclass
class Committed:
    """What one transaction carried."""

    outs: list[Out]
    offsets: dict[tuple[str, int], int]
    metadata: object
    careful: bool


@dataclass
class FakeTransactions:
    """Commits by a script: each call first asks `judge`, which may raise."""

    judge: Callable[[Committed], None] = lambda _committed: None
    calls: list[Committed] = field(default_factory=list)
    done: list[Committed] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        return

    def stuck(self) -> bool:
        return False

    def lost(self) -> bool:
        return False

    def commit(
        self,
        outs: Sequence[Out],
        offsets: dict[tuple[str, int], int],
        metadata: object,
        changelogs: frozenset[str],
        *,
        careful: bool = False,
    ) -> dict[tuple[str, int], int]:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.gate.wait(60)
        asked = Committed(list(outs), dict(offsets), metadata, careful)
        self.calls.append(asked)
        self.judge(asked)
        self.done.append(asked)
        for topic, _, _, partition, _ in outs:
            if topic in changelogs:
                self.ends[topic, partition] = self.ends.get((topic, partition), 0) + 1
        return {place: self.ends[place] for place in {(out[0], out[3]) for out in outs} if place in self.ends}

    @property
    def values(self) -> list[bytes | None]:
        """Return the values that are on the log, in order, without the ledger's offsets."""
        return [out[1] for call in self.done for out in call.outs if not (out[2] or b"").startswith(b"o/")]


@dataclass
class Counting:
    """A change that adds one to the row `all`."""

    store: PartitionStore
    key: bytes = b"all"

    def data(self) -> bytes:
        return b"one more"


class FakeOwner:
    """The consumer's side: a pair that the test sets, and the credit that comes back."""

    def __init__(self, *assignments: PartitionAssignment) -> None:
        self.assignments = set(assignments)
        self.generation = 1
        self.released = 0
        self.next_pairs = 0
        self.renewed: list[PartitionAssignment] = []
        self.on_next: Callable[[], None] = lambda: None

    @property
    def snapshot(self) -> GroupSnapshot:
        return GroupSnapshot(self.generation, frozenset(one for one in self.assignments if one.live))

    async def next_snapshot(self) -> None:
        self.next_pairs += 1
        self.generation += 1
        self.on_next()

    def release(self, count: int) -> None:
        self.released += count

    def renew(self, old: PartitionAssignment) -> None:
        self.renewed.append(old)


def counted_on(owned: PartitionAssignment, changes: Sequence[DeferredRow]) -> tuple[list[Write], list[Write]]:
    """Count on from what is committed."""
    store = owned.stores[COUNTS]
    return [(store, b"all", b"%d" % (int(store.committed(b"all") or b"0") + len(changes)))], []


class Bench:
    """A committer over the fakes."""

    def __init__(self, transactions: FakeTransactions, owner: FakeOwner, rows: Rows = counted_on) -> None:
        self.crashes: list[Exception] = []
        self.refused: list[tuple[CommitUnit, Exception]] = []
        self.stages: list[str] = []
        self.busy: Callable[[], bool] = lambda: False
        self.committer = Committer(
            transactions,
            owner,
            ledger=JOURNAL,
            topic_ids=TOPICS,
            crash=self.crashes.append,
            refused=lambda unit, error: self.refused.append((unit, error)),
            probe=self.stages.append,
            rows=rows,
            busy=self._is_busy,
        )

    def _is_busy(self) -> bool:
        return self.busy()

    async def through(self, *units: CommitUnit) -> None:
        """Commit these units and end."""
        for unit in units:
            self.committer.add(unit)
        self.committer.stop()
        await self.committer.run()


def saying(owned: PartitionAssignment, value: bytes, **refusals: Any) -> CommitUnit:
    """Return a unit that writes one record."""
    unit = CommitUnit(owned)
    unit.send("t.out", value, b"k")
    for name, called in refusals.items():
        setattr(unit, name, called)
    return unit
