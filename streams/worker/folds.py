"""Tables: pure folds of events into rows, one store a table, each event counted once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from streams.worker.ownership import StoreSpec

if TYPE_CHECKING:
    from schemas import Event
    from schemas.avro.codec import Codec
    from streams.define.tables import TableDef
    from streams.worker.state.batch import Batch
    from topics.names import Names


def store_name(table: TableDef) -> str:
    """Return the name of a table's store; another fold version is another store."""
    return f"table.{table.name}.v{table.version}"


class Folds:
    """The tables of one pool."""

    def __init__(self, tables: list[TableDef], names: Names, codec: Codec) -> None:
        """Fold into `tables`; rows are Avro by the row type's schema."""
        self.tables = {table.name: table for table in tables}
        self.specs = tuple(
            StoreSpec(store_name(table), names.table(table.name, table.version, table.pool)) for table in tables
        )
        self._codec = codec
        self._by_type: dict[str, list[TableDef]] = defaultdict(list)
        for table in tables:
            for kind in table.of:
                self._by_type[kind.event_type].append(table)

    def fold(
        self, batch: Batch, event: Event, key: bytes | None, only: str | None = None
    ) -> list[tuple[str, Exception]]:
        """Apply `event` to each table that wants it, or to `only` one; the row's key is the event's key.

        Returns the tables whose fold raised, with the error: those rows are as they were, all others have the event.
        """
        failed: list[tuple[str, Exception]] = []
        for table in self._by_type.get(type(event).event_type, ()):
            if only in (None, table.name):
                try:
                    self._apply(batch, table, event, key if key is not None else b"")
                except Exception as error:  # noqa: BLE001 - a fold is users' code; its error is its own table's
                    failed.append((table.name, error))
        return failed

    def _apply(self, batch: Batch, table: TableDef, event: Event, row_key: bytes) -> None:
        store = batch.slice.stores[store_name(table)]
        before = store.get(row_key)
        row = table.fn(None if before is None else self.decode(table, before), event)
        after = None if row is None else self._codec.encode(row)
        if after != before:
            batch.put(store, row_key, after)

    def decode(self, table: TableDef, data: bytes) -> Any:
        """Return a row as the table's type."""
        return self._codec.decode(data, table.row)

    def json(self, table: TableDef, data: bytes) -> Any:
        """Return a row as JSON values."""
        row = self.decode(table, data)
        if isinstance(row, BaseModel):
            return row.model_dump(mode="json", by_alias=True)
        return TypeAdapter(type(row)).dump_python(row, mode="json")
