"""Tables: pure folds of events into rows, one store a table, each event counted once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, TypeAdapter

from streams.engine.jsonable import to_json
from streams.runtime.index_entries import put_row
from streams.runtime.store_index import StoreIndex, StoreSpec, term
from streams.user_code import called

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from schemas import Event
    from schemas.avro.codec import Codec
    from streams.define.tables import TableDef
    from streams.runtime.commit_unit import CommitUnit
    from topics.names import Names


def store_name(table: TableDef) -> str:
    """Return the name of a table's store; another fold version is another store."""
    return f"table.{table.name}.v{table.version}"


def entry_of(field: str, value: str, key: bytes = b"") -> bytes:
    """Return the entry by which a lookup finds the row `key`; without a key the prefix of all rows with the value."""
    return field.encode() + b"\x00" + term(value) + b"\x00" + key


class TableFolds:
    """The tables of one pool."""

    def __init__(
        self,
        tables: list[TableDef],
        names: Names,
        codec: Codec,
        pool: str = "default",
        indexes: dict[str, StoreIndex] | None = None,
    ) -> None:
        """Fold into `tables` of `pool`; rows are Avro by the row type's schema.

        `indexes` are those of tables (by name) whose rows are found by more than their lookups.
        """
        self.tables = {table.name: table for table in tables}
        self._codec = codec
        self.specs = tuple(
            StoreSpec(
                store_name(table),
                names.table(table.name, table.version, pool),
                (indexes or {}).get(table.name) or self._index(table),
            )
            for table in tables
        )
        self._by_type: dict[str, list[TableDef]] = defaultdict(list)
        for table in tables:
            for kind in () if table.of_runs else table.of:
                self._by_type[kind.event_type].append(table)

    @property
    def consumers(self) -> dict[str, str]:
        """Return the names of the tables that fold events, by their stores."""
        found = {table.name: table for tables in self._by_type.values() for table in tables}
        return {store_name(table): name for name, table in found.items()}

    @property
    def events(self) -> bool:
        """Whether any of the tables folds events."""
        return bool(self._by_type)

    def fold(
        self,
        batch: CommitUnit,
        event: Event,
        key: bytes | None,
        only: str | None = None,
        passed: AbstractSet[str] = frozenset(),
    ) -> list[tuple[str, Exception]]:
        """Apply `event` to each table that wants it but those in `passed`, or to `only` one.

        The row's key is the event's key.

        Returns the tables whose fold raised, with the error: those rows are as they were, all others have the event.
        """
        failed: list[tuple[str, Exception]] = []
        for table in self._by_type.get(type(event).event_type, ()):
            if only in (None, table.name) and table.name not in passed:
                try:
                    called(self._apply, batch, table, event, key if key is not None else b"")
                except Exception as error:  # noqa: BLE001 - a fold is users' code; its error is its own table's
                    failed.append((table.name, error))
        return failed

    def _apply(self, batch: CommitUnit, table: TableDef, event: Event, row_key: bytes) -> None:
        store = batch.assignment.stores[store_name(table)]
        before = store.get(row_key)
        row = table.fn(None if before is None else self.decode(table, before), event)
        after = None if row is None else self._codec.encode(row)
        if after != before:
            put_row(batch, store, row_key, before, after)

    def _index(self, table: TableDef) -> StoreIndex | None:
        """Return the index of a table's lookups: a list is found by each of its items, null by nothing."""
        if not table.lookups:
            return None

        def keys(key: bytes, row: bytes) -> Iterator[bytes]:
            found = self.decode(table, row)
            for field in table.lookups:
                value = getattr(found, field)
                for item in value if isinstance(value, list | tuple | set | frozenset) else (value,):
                    if item is not None:
                        yield entry_of(field, text_of(item), key)

        return StoreIndex(" ".join(table.lookups).encode(), keys)

    def decode(self, table: TableDef, data: bytes) -> Any:
        """Return a row as the table's type."""
        return self._codec.decode(data, table.row)

    def json(self, table: TableDef, data: bytes) -> Any:
        """Return a row as JSON values."""
        return self.plain(self.decode(table, data))

    def plain(self, row: Any) -> Any:
        """Return a row that was decoded as JSON values."""
        if isinstance(row, BaseModel):
            return row.model_dump(mode="json", by_alias=True)
        return TypeAdapter(type(row)).dump_python(row, mode="json")


def text_of(value: Any) -> str:
    """Return a field's value as a request names it: text as it is, anything else as JSON."""
    plain = to_json(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()
