"""A changelog in memory and standbys that read it, turned by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from confluent_kafka import TopicPartition

from streams.runtime.assignment import PartitionAssignment
from streams.runtime.changelogs import ChangelogReader
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.runtime.standbys import Standbys
from streams.runtime.store_index import StoreIndex, StoreSpec
from topics.contact import Contact

TOPIC = "t.counts"


@dataclass
class FakeMessage:
    """A record of the changelog, or the end of its partition."""

    number: int
    at: int
    row: tuple[bytes, bytes | None] | None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes:
        assert self.row is not None
        return self.row[0]

    def value(self) -> bytes | None:
        assert self.row is not None
        return self.row[1]

    def error(self) -> Any:
        return None if self.row is not None else End()


class End:
    """What librdkafka gives at the end of a partition."""

    def code(self) -> int:
        return -191

    def fatal(self) -> bool:
        return False


@dataclass
class FakeReader:
    """A changelog in memory, and a consumer of it."""

    rows: dict[int, list[tuple[bytes, bytes | None]]] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    assigned: list[dict[int, int]] = field(default_factory=list)
    most: int = 1000
    fails: Exception | None = None
    closed: int = 0

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.places = {place.partition: place.offset for place in places}
        self.assigned.append(dict(self.places))

    def consume(self, count: int, _seconds: float) -> list[FakeMessage]:
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure
        found = []
        for number, at in self.places.items():
            fresh = self.rows.get(number, [])[at : at + min(count, self.most)]
            found += [FakeMessage(number, at + place, row) for place, row in enumerate(fresh)]
            self.places[number] = at + len(fresh)
            if self.places[number] == len(self.rows.get(number, [])):
                found.append(FakeMessage(number, self.places[number], None))
        return found

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, len(self.rows.get(place.partition, []))

    def close(self) -> None:
        self.closed += 1


class Bench:
    """Standbys over the fakes, turned by hand."""

    def __init__(self, folder: Path, index: StoreIndex | None = None) -> None:
        self.reader = FakeReader()
        self.folder = folder
        self.busy = False
        self.changelogs = ChangelogReader({})
        self.index = index
        vars(self.changelogs)["_topic_ids"] = lambda topics: dict.fromkeys(topics, "id-c")
        vars(self.changelogs)["offsets"] = self._offsets
        self.standbys = Standbys(
            copies=1,
            specs=[StoreSpec("counts", TOPIC, index)],
            folder=folder,
            options=StoreOptions(),
            changelogs=self.changelogs,
            reader=lambda: (cast("Any", self.reader), Contact({})),
            busy=lambda: self.busy,
            damaged=_fail,
        )
        self.halted = vars(self.standbys)["_halted"]
        vars(self.standbys)["_halted"] = NoWait(self.halted)

    def _offsets(self, places: set[tuple[str, int]], spec: Any) -> dict[tuple[str, int], int]:
        first = spec._value == -2
        return {place: 0 if first else len(self.reader.rows.get(place[1], [])) for place in places}

    def say(self, number: int, *rows: tuple[bytes, bytes | None]) -> None:
        self.reader.rows.setdefault(number, []).extend(rows)

    def turn(self) -> None:
        self.standbys.turn(cast("Any", self.reader))

    def owner(self, number: int) -> PartitionAssignment:
        """Return an assignment as the owner makes it, on the standby's database if there is one."""
        made = PartitionAssignment(number, {})
        made.db = self.standbys.claim(number) or PartitionDatabase(self.folder / str(number), StoreOptions())
        made.stores = {"counts": PartitionStore(made.db, "counts", TOPIC, number, self.index)}
        return made


class NoWait:
    """An event whose waits end at once."""

    def __init__(self, real: threading.Event) -> None:
        self._real = real
        self.waits: list[float] = []
        self.is_set, self.set = real.is_set, real.set

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self._real.is_set()


def _fail(error: Exception) -> None:
    raise AssertionError from error
