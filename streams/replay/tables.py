"""A table folded again from its topic: to check what is served, and for rows as they were at a point of the past."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from streams.replay.errors import AbsentError, ReplayError, RetentionError
from streams.replay.rows import Place, ReplayedRows, SeenIds, shown
from topics.partition import partition_of
from topics.reader import Position, RawRecord, Time, offsets, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.define.tables import TableDef
    from streams.replay.log import ReplayLog

_ROUNDS: Final = 25  # looks at a table that is written to while it is checked
_PAUSE_S: Final = 0.2
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class At:
    """A point of the past: after the record with an offset (in each partition), or a time in ms since the epoch."""

    offset: int | None = None
    time_ms: int | None = None

    @property
    def end(self) -> Position:
        """Return the first place that no longer counts."""
        if self.offset is not None:
            return self.offset + 1
        return "latest" if self.time_ms is None else Time(self.time_ms + 1)

    def __str__(self) -> str:
        return f"offset {self.offset}" if self.offset is not None else f"time {self.time_ms} ms"


@dataclass(slots=True)
class Check:
    """A table folded again, held against the served one: `different` are keys whose bytes are not the same.

    `failed` counts records at which the fold raised: live they are dead letters, and change no row.
    """

    table: str
    records: int = 0
    failed: int = 0
    rows: int = 0
    served: int = 0
    different: list[dict[str, Any]] = field(default_factory=list)
    differing: int = 0

    @property
    def equal(self) -> bool:
        """Whether every row is byte by byte the same, and none is missing or more."""
        return self.differing == 0


class TableHistory:
    """One table and the topic that it folds; blocking, so that it is called in a thread where a loop is running."""

    def __init__(self, log: ReplayLog, name: str, progress: Callable[[int], None] = lambda _records: None) -> None:
        """Take a table by name; raises ReplayError if there is none."""
        table = log.catalog.tables.get(name)
        if table is None:
            known = ", ".join(sorted(log.catalog.tables)) or "none"
            raise ReplayError(f"no table is called {name!r}: there are {known}")
        self._log = log
        self._table: TableDef = table
        self._topic = log.names.events
        pools = log.catalog.pools() if table.of_runs else (table.pool,)
        self._changelogs = [log.names.table(table.name, table.version, pool) for pool in pools]
        self._progress = progress
        self._begin()

    def row(self, key: str, at: At) -> dict[str, Any]:
        """Return a row as it was; raises RetentionError if that is no longer known, AbsentError if there was none.

        Raises ReplayError for an offset that is not there yet, and for a table that is not made of events by offset.
        """
        if self._table.merge is not None:
            raise ReplayError(f"the rows of {self._table.name} are kept in parts, and their past is not told")
        if self._table.of_runs:
            if at.time_ms is None:
                raise ReplayError(f"{self._table.name} is made of runs and not of {self._topic}: give a time")
            return self._served_then(key, at.time_ms)
        counts = offsets(self._log.config, self._topic, "earliest")
        partition = partition_of(key.encode(), len(counts))
        if counts[partition] and at.time_ms is not None:
            return self._served_then(key, at.time_ms)
        end = offsets(self._log.config, self._topic, "latest", partitions=[partition])[partition]
        if at.offset is not None and at.offset >= end:
            raise ReplayError(f"{self._topic} has no offset {at.offset} in partition {partition} yet: it ends at {end}")
        self._fold(self._whole([partition]), at.end, key=key)
        place = (partition, key.encode())
        if place not in self._rows.rows[self._table.name]:
            raise AbsentError(f"table {self._table.name} had no row {key!r} at {at}")
        return self._shown(place)

    def rows(self, at: At) -> list[dict[str, Any]]:
        """Return all rows as they were, by key; raises RetentionError if the topic no longer has what made them."""
        self._of_events()
        self._fold(self._whole(None), at.end)
        return [self._shown(place) for place in sorted(self._rows.rows[self._table.name], key=lambda place: place[1])]

    def check(self) -> Check:
        """Fold the whole topic and compare with what is served; raises RetentionError if its beginning is gone.

        What is written meanwhile is folded, too: two looks that differ in the same way decide.
        """
        self._of_events()
        start = self._whole(None)
        pause = threading.Event()
        before: Any = None
        for _ in range(_ROUNDS):
            end = offsets(self._log.config, self._topic, "latest")
            self._fold(start, "latest", end)
            served = self._served()
            result = self._compared(served)
            if result.equal or before == (end, served):
                break
            before, start = (end, served), end
            pause.wait(_PAUSE_S)  # for the worker that still folds what was just written
        return result

    def _of_events(self) -> None:
        if self._table.of_runs:
            raise ReplayError(
                f"{self._table.name} is made of journals and not of {self._topic}: its owners make it as runs change"
            )

    def _begin(self) -> None:
        self._rows = ReplayedRows([self._table], self._log.codec)
        self._seen = SeenIds()
        self._last: dict[int, int] = {}
        self._records = self._failed = 0

    def _whole(self, partitions: list[int] | None) -> dict[int, int]:
        """Return where the topic begins; raises RetentionError unless that is its very beginning."""
        first = offsets(self._log.config, self._topic, "earliest", partitions=partitions)
        gone = {number: low for number, low in first.items() if low}
        if gone:
            number, low = max(gone.items(), key=lambda item: item[1])
            raise RetentionError(
                f"{self._topic} begins at offset {low} in partition {number}: retention has deleted records that made "
                f"rows of {self._table.name}, so they cannot be folded again; `tables get` has the rows of now"
            )
        return first

    def _fold(
        self, start: dict[int, int], end: Position, until: dict[int, int] | None = None, key: str | None = None
    ) -> None:
        """Fold what is between; with `key` only its records, on which alone its row depends."""
        for record in self._read(start, end, until, key):
            self._records += 1
            if self._records % 1000 == 0:
                self._progress(self._records)
            self._last[record.partition] = record.offset
            arrival = self._log.arrival(record)
            if arrival.event is None or arrival.attributes is None or self._seen.again(record, arrival.attributes):
                continue
            self._failed += len(self._rows.fold(arrival.event, record.partition, record.key))

    def _read(
        self, start: dict[int, int], end: Position, until: dict[int, int] | None, key: str | None
    ) -> Iterator[RawRecord]:
        if not start:
            return
        first = min(start.values())
        for record in read(self._log.config, self._topic, start=first, end=end, key=key, partitions=start):
            number = record.partition
            if record.offset >= start[number] and (until is None or record.offset < until[number]):
                yield record

    def _served(self) -> dict[Place, bytes]:
        """Return the committed rows of the changelog, which the owners' stores hold."""
        rows: dict[Place, bytes] = {}
        for record in read(self._log.config, self._changelogs[0]):
            place = (record.partition, record.key or b"")
            if record.value is None:
                rows.pop(place, None)
            else:
                rows[place] = record.value
        return rows

    def _served_then(self, key: str, time_ms: int) -> dict[str, Any]:
        """Return the row that was served at a time, as far as the changelog still has it.

        Compaction removes only what a later record of the key has replaced, so what is left before a time was the row.
        """
        found: RawRecord | None = None
        later = False
        for record in self._versions(key):
            if record.timestamp <= time_ms:
                found = record
            else:
                later = True
        if found is None and later:
            raise RetentionError(
                f"row {key!r} of {self._table.name} has changed since then, and its older versions are compacted away"
            )
        if found is None or found.value is None:
            raise AbsentError(f"table {self._table.name} had no row {key!r} at time {time_ms} ms")
        return {
            "key": key,
            "value": shown(self._log.codec, self._table, found.value),
            "topic": found.topic,
            "partition": found.partition,
            "offset": found.offset,
        }

    def _versions(self, key: str) -> Iterator[RawRecord]:
        for changelog in self._changelogs:
            yield from read(self._log.config, changelog, key=key)

    def _compared(self, served: dict[Place, bytes]) -> Check:
        rows = self._rows.rows[self._table.name]
        differing = sorted(place for place in rows.keys() | served.keys() if rows.get(place) != served.get(place))
        check = Check(self._table.name, self._records, self._failed, len(rows), len(served), differing=len(differing))
        for place in differing[:_SHOWN]:
            value = served.get(place)
            check.different.append(
                {
                    "key": place[1].decode("utf-8", "replace"),
                    "partition": place[0],
                    "folded": self._rows.json(self._table.name, place),
                    "served": None if value is None else shown(self._log.codec, self._table, value),
                }
            )
        return check

    def _shown(self, place: Place) -> dict[str, Any]:
        return {
            "key": place[1].decode("utf-8", "replace"),
            "value": self._rows.json(self._table.name, place),
            "topic": self._topic,
            "partition": place[0],
            "offset": self._last.get(place[0]),
        }


def rows_of(log: ReplayLog) -> Callable[..., dict[str, Any]]:
    """Return what looks up rows of the past by table and key; it raises what `TableHistory.row` raises."""

    def row(table: str, key: str, *, offset: int | None, time_ms: int | None) -> dict[str, Any]:
        return TableHistory(log, table).row(key, At(offset, time_ms))

    return row
