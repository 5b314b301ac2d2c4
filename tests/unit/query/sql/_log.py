"""Topics in memory, read as the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from schemas import Event
from schemas.attributes import headers_of
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams.app import Catalog
from streams.define.tables import TableDef
from streams.query.sql import query, scan
from streams.query.sql.limits import SqlLimits
from streams.query.sql.query import SqlResult
from streams.query.sql.tables import sources_of
from streams.query.sql.views import SqlSource
from topics.kafka import KafkaConfig
from topics.partition import partition_of
from topics.reader import Position, RawRecord, Time

CODEC = Codec(FileRegistry())
START = 1_795_549_568_000
PARTITIONS = 3


@dataclass(frozen=True)
class MemoryLog:
    """Records by topic and partition; `reads` are the bounds with which topics were read."""

    topics: dict[str, list[list[RawRecord]]] = field(default_factory=dict)
    reads: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, TableDef] = field(default_factory=dict)

    def write(self, topic: str, event: BaseModel, *, key: str | None = None, at: int = START) -> None:
        if isinstance(event, Event):
            text = key or event.key_text() or ""
            headers = headers_of(f"id-{at}", event.event_type, "/tests", at)
        else:
            text, headers = key or "", []
        self.raw(topic, text.encode(), CODEC.encode(event), headers, at)

    def raw(self, topic: str, key: bytes, value: bytes | None, headers: Any, at: int) -> None:
        partitions = self.topics.setdefault(topic, [[] for _ in range(PARTITIONS)])
        number = partition_of(key, PARTITIONS)
        record = RawRecord(topic, number, len(partitions[number]), at, key, value, headers)
        partitions[number].append(record)

    def offsets(
        self, _: KafkaConfig, topic: str, position: Position = "latest", *, partitions: Iterable[int] | None = None
    ) -> dict[int, int]:
        chosen = range(PARTITIONS) if partitions is None else partitions
        found = {}
        for number in chosen:
            records = self.topics[topic][number]
            found[number] = len(records)
            if isinstance(position, Time):
                found[number] = next((one.offset for one in records if one.timestamp >= position.ms), len(records))
        return found

    def read(
        self,
        _: KafkaConfig,
        topic: str,
        *,
        start: dict[int, int],
        end: dict[int, int],
        key: str | None,
        partitions: Iterable[int] | None,
    ) -> Iterator[RawRecord]:
        self.reads.append({"topic": topic, "start": start, "end": end, "key": key, "partitions": partitions})
        chosen = [partition_of(key.encode(), PARTITIONS)] if key is not None else partitions
        for number in chosen or ():
            for record in self.topics[topic][number]:
                if start.get(number, 0) <= record.offset < end[number] and (key is None or record.key == key.encode()):
                    yield record

    def names(self, source: SqlSource) -> list[str]:
        prefixes = [name.removesuffix("*") for name in source.topics]
        return [name for name in self.topics if any(name.startswith(prefix) for prefix in prefixes)]

    def select(self, sql: str, limits: SqlLimits | None = None) -> SqlResult:
        reads = scan.TopicReads(KafkaConfig("nowhere:9092"), CODEC, {})
        return query.run(sql, reads, self.names, limits or SqlLimits(), sources_of(Catalog(tables=self.tables)))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        table = self.select(sql).table
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
