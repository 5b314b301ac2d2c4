"""Tables in memory: the same folds as a worker's, over records that were read, each counted once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from streams.user_code import called

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas import Event
    from schemas.attributes import Attributes
    from schemas.avro.codec import Codec
    from streams.define.tables import TableDef
    from topics.reader import RawRecord

OURS = "/streams/workers/"
"""Where records come from that were committed once; all others are recognised by their id and counted once."""

Place = tuple[int, bytes]
"""Partition and key: what a row is known by."""


class SeenIds:
    """The sources and ids of records from outside, as each partition's owner remembers them."""

    def __init__(self) -> None:
        self._ids: set[tuple[int, str, str]] = set()

    def again(self, record: RawRecord, attributes: Attributes) -> bool:
        """Return whether a record came before, and remember it."""
        if attributes.source.startswith(OURS):
            return False
        # a repair gives a record the id of the one that it replaces, whatever its own name
        source = "/streams/" if attributes.source.startswith("/streams/") else attributes.source
        name = (record.partition, source, attributes.id)
        if name in self._ids:
            return True
        self._ids.add(name)
        return False


class ReplayedRows:
    """The rows of some tables, as the bytes that a worker would keep."""

    def __init__(self, tables: Iterable[TableDef], codec: Codec) -> None:
        self.tables = {table.name: table for table in tables}
        self.rows: dict[str, dict[Place, bytes]] = {name: {} for name in self.tables}
        self._codec = codec
        self._by_type: dict[str, list[TableDef]] = defaultdict(list)
        for table in self.tables.values():
            for kind in table.of:
                self._by_type[kind.event_type].append(table)

    def fold(self, event: Event, partition: int, key: bytes | None) -> list[tuple[str, Exception]]:
        """Apply an event to each table that wants it; return the tables whose fold raised, with the error."""
        failed: list[tuple[str, Exception]] = []
        place = (partition, key or b"")
        for table in self._by_type.get(type(event).event_type, ()):
            rows = self.rows[table.name]
            before = rows.get(place)
            try:
                row = called(table.fn, None if before is None else self._codec.decode(before, table.row), event)
                after = None if row is None else self._codec.encode(row)
            except Exception as error:  # noqa: BLE001 - a fold is users' code: live its error is its table's dead letter
                failed.append((table.name, error))
                continue
            if after is None:
                rows.pop(place, None)
            else:
                rows[place] = after
        return failed

    def json(self, name: str, place: Place) -> Any:
        """Return a row as JSON values, None if there is none."""
        data = self.rows[name].get(place)
        return None if data is None else shown(self._codec, self.tables[name], data)


def shown(codec: Codec, table: TableDef, data: bytes) -> Any:
    """Return a row's bytes as JSON values; raises SchemaError."""
    row: Any = codec.decode(data, table.row)
    if isinstance(row, BaseModel):
        return row.model_dump(mode="json", by_alias=True)
    return TypeAdapter(type(row)).dump_python(row, mode="json")
