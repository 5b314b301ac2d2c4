"""Reads the stretch of the log that a replay is about: records by offset or time, runs with their journals, calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas import Event
from schemas.attributes import Attributes
from schemas.catalogue import event_class
from schemas.errors import SchemaError
from streams.engine.entry import Entry
from streams.journal import store_keys
from streams.query.codec import codec_of
from streams.replay.run_observations import Observed
from topics.admin import topic_names
from topics.names import Names
from topics.partition import partition_of
from topics.reader import Position, RawRecord, Time, offsets, read

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.app import Catalog
    from streams.settings import Settings
    from topics.kafka import KafkaConfig

_SKEW_MS: Final = 60_000  # clocks of producers and brokers differ; what a record caused may seem older than it
_FEW: Final = 64  # runs whose partitions are worth picking out


@dataclass(frozen=True, slots=True)
class Stretch:
    """A bounded part of a topic: from each partition the offsets from `start` (inclusive) to `end` (exclusive)."""

    topic: str
    start: dict[int, int]
    end: dict[int, int]

    @property
    def length(self) -> int:
        """Return how many offsets it spans; compaction and commit markers make the records fewer."""
        return sum(max(self.end[number] - self.start[number], 0) for number in self.start)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record and what could be made of it: no event where nobody knows its type, `error` where it is broken."""

    record: RawRecord
    attributes: Attributes | None = None
    event: Event | None = None
    error: str | None = None


class ReplayLog:
    """Reads committed records only, in no group: nothing that reads or writes live notices."""

    def __init__(self, config: KafkaConfig, codec: Codec, names: Names, catalog: Catalog) -> None:
        self.config = config
        self.codec = codec
        self.names = names
        self.catalog = catalog

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog) -> ReplayLog:
        """Return the log that settings name; SettingsError when they name none."""
        return cls(settings.kafka(), codec_of(settings, catalog), Names(settings.topic_prefix), catalog)

    def stretch(self, topic: str, start: Position, end: Position) -> Stretch:
        """Return the offsets between two positions as they are now; raises TopicError."""
        return Stretch(topic, offsets(self.config, topic, start), offsets(self.config, topic, end))

    def records(self, stretch: Stretch, partition: int | None = None) -> Iterator[RawRecord]:
        """Yield the records of a stretch, or of one partition of it, in order; what came meanwhile is left out."""
        chosen = [number for number in stretch.start if partition in (None, number)]
        if any(stretch.start[number] < stretch.end[number] for number in chosen):
            yield from read(self.config, stretch.topic, start=stretch.start, end=stretch.end, partitions=chosen)

    def first_ms(self, stretch: Stretch) -> int:
        """Return the time of the oldest record that begins a partition of a stretch, 0 if there is none."""
        found = []
        for number, start in stretch.start.items():
            if start < stretch.end[number]:
                ends = {number: stretch.end[number]}
                found += [
                    one.timestamp
                    for one in read(
                        self.config, stretch.topic, start={number: start}, end=ends, partitions=[number], limit=1
                    )
                ]
        return min(found, default=0)

    def arrival(self, record: RawRecord) -> Arrival:
        """Decode a record."""
        try:
            attributes = Attributes.from_headers(record.headers, default_time=record.timestamp)
            kind = event_class(self.catalog.events, attributes.type)
            event = None if kind is None else self.codec.decode(record.value, kind)
        except (SchemaError, ValueError) as error:
            return Arrival(record, error=str(error))
        return Arrival(record, attributes, event)

    def calls(self, since_ms: int) -> Iterator[dict[str, Any]]:
        """Yield the fields of the calls that were recorded from a time on; what cannot be decoded is left out."""
        for record in read(self.config, self.names.calls, start=Time(max(since_ms - _SKEW_MS, 0))):
            try:
                yield self.codec.decode_dict(record.value)
            except SchemaError:
                continue

    def runs(self, run_ids: Iterable[str], since_ms: int) -> dict[str, Observed]:
        """Return what the log says of runs and of all runs that they called, by id; unknown ones are left out."""
        known: dict[str, Observed] = {}
        wanted = set(run_ids)
        while wanted:
            found = {run: Observed(entries) for run, entries in self._journals(wanted, since_ms).items() if entries}
            known |= found
            wanted = {child for one in found.values() for child in one.children()} - known.keys() - wanted
        return known

    def _journals(self, wanted: set[str], since_ms: int) -> dict[str, list[Entry]]:
        """Return the last entry of each key; entries of a run are younger than its submission."""
        rows: dict[str, dict[bytes, bytes]] = {}
        counts = topic_names(self.config)
        start = Time(max(since_ms - _SKEW_MS, 0))
        for topic in dict.fromkeys(self.names.journal(pool) for pool in self.catalog.pools()):
            if topic not in counts:
                continue
            chosen = {partition_of(run.encode(), counts[topic]) for run in wanted} if len(wanted) <= _FEW else None
            for record in read(self.config, topic, start=start, partitions=chosen):
                key = record.key or b""
                if not key.startswith(store_keys.RUN):
                    continue
                run_id = key[len(store_keys.RUN) :].partition(b"/")[0].decode("utf-8", "replace")
                if run_id in wanted:
                    _keep(rows.setdefault(run_id, {}), key, record.value)
        return {
            run_id: [Entry.from_dict(self.codec.decode_dict(value)) for value in latest.values()]
            for run_id, latest in rows.items()
        }


def _keep(rows: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value
