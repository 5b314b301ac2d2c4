"""Rows of tables as their owner reports them: committed ones only, with the offset that they were made from."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from streams.worker.events.consumer_positions import of_table
from streams.worker.events.table_folds import TableFolds, entry_of, store_name, text_of
from streams.worker.http.ownership_check import NotReadyError
from streams.worker.http.responses import answer, of, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.define.tables import TableDef
    from streams.runtime.assignment import PartitionAssignment
    from streams.worker.events.consumer_positions import ConsumerPositions
    from streams.worker.http.ownership_check import OwnershipCheck

    Row = tuple[bytes, bytes]
    Place = tuple[bytes, bytes, PartitionAssignment]

_PATIENCE_S = 2.5
LOOKUP: Final = "by."
"""How a query's parameter begins that names a lookup."""


class TablePages:
    """`/owner/tables…`."""

    def __init__(
        self, proof: OwnershipCheck, folds: TableFolds, events: str, positions: ConsumerPositions | None = None
    ) -> None:
        """Serve the tables of `folds`, made from the topic `events` or of the runs of this worker.

        `positions` says which tables still read what they missed under an owner without them.
        """
        self._positions = positions
        self._proof = proof
        self._folds = folds
        self._events = events

    async def row(self, request: Request) -> Response:
        """Answer one row."""
        table = self._table(request)
        key = request.path_params["key"]
        if table.merge is not None:
            return self._of_parts(table, key.encode())
        owned = self._proof.assignment_of(key)
        wanted = request.query_params.get("consistency")
        if wanted:
            topic = request.query_params.get("topic") or self._events
            if topic not in owned.sources:
                return problem(422, f"topic: nothing here is made of {topic[:200]}; leave it out for the bus")
            offset = int(wanted.removeprefix("offset:"))
            await self._proof.applied(owned, topic, offset, _PATIENCE_S)
            behind = self._behind(owned, table)
            if topic == self._events and behind is not None and behind <= offset:
                raise NotReadyError(f"table {table.name} reads what it missed, from offset {behind} on")
            self._proof.check(owned)  # it may have gone while we waited
        value = owned.stores[store_name(table)].committed(key.encode())
        if value is None:
            return problem(404, "no such row")
        return answer(self._shown(table, owned, key.encode(), value))

    async def copied(self, request: Request) -> Response:
        """Answer one row as the copy here has it, with the place in the changelog up to which that is true."""
        table, key = self._folds.tables.get(request.path_params["name"]), request.path_params["key"]
        if table is None or table.merge is not None:
            return problem(404, "no such table with whole rows in this pool")
        name = store_name(table)
        value, place = await asyncio.to_thread(
            self._proof.of_copy, key, name, lambda copy: copy.stores[name].committed(key.encode())
        )
        if value is None:
            return problem(404, "no such row in the copy")
        return answer({"key": key, "value": self._folds.json(table, value), **place})

    async def scan(self, request: Request) -> Response:
        """Answer rows in key order over all owned partitions."""
        table = self._table(request)
        query = request.query_params
        limit = int(query.get("limit", "100"))
        prefix, after = query.get("prefix", "").encode(), query.get("cursor")
        wishes = {name.removeprefix(LOOKUP): query[name] for name in query if name.startswith(LOOKUP)}
        assignments = self._proof.assignments()
        if table.merge is not None:
            parts: dict[bytes, list[Any]] = defaultdict(list)
            for owned in assignments:
                for key, value in islice(self._wanted(owned, table, prefix, after, wishes), limit + 1):
                    parts[key].append(self._folds.decode(table, value))
            rows = [self._merged(table, key, found) for key, found in sorted(parts.items())]
        else:
            found = heapq.merge(*(self._places(owned, table, prefix, after, wishes) for owned in assignments), key=_key)
            rows = [self._shown(table, owned, key, value) for key, value, owned in islice(found, limit + 1)]
        return of(assignments, answer({"rows": rows[:limit], "next": "more" if len(rows) > limit else None}))

    def _table(self, request: Request) -> TableDef:
        """Return the table that is asked for; raises NotReadyError where only the code of other workers has it."""
        name = request.path_params["name"]
        table = self._folds.tables.get(name)
        if table is None:
            raise NotReadyError(f"the worker that owns this partition does not have table '{name}' in its code")
        return table

    def _behind(self, owned: PartitionAssignment, table: TableDef) -> int | None:
        return None if self._positions is None else self._positions.of(owned, of_table(store_name(table)))

    def _places(
        self, owned: PartitionAssignment, table: TableDef, prefix: bytes, after: str | None, wishes: dict[str, str]
    ) -> Iterator[Place]:
        return ((key, value, owned) for key, value in self._wanted(owned, table, prefix, after, wishes))

    def _wanted(
        self, owned: PartitionAssignment, table: TableDef, prefix: bytes, after: str | None, wishes: dict[str, str]
    ) -> Iterator[Row]:
        """Yield rows behind the key `after`: all with the prefix, or those that the lookups find."""
        if not wishes:
            yield from self._rows(owned, table, prefix, after)
            return
        field, value = next(iter(wishes.items()))
        store = owned.stores[store_name(table)]
        base = store.entries.prefix + entry_of(field, value)
        start = None if after is None else max(base + after.encode() + b"\x00", base + prefix)
        for entry in store.db.keys(base + prefix, start):
            key = entry[len(base) :]
            row = store.committed(key)
            if row is not None and (len(wishes) == 1 or self._has(table, row, wishes)):
                yield key, row

    def _has(self, table: TableDef, data: bytes, wishes: dict[str, str]) -> bool:
        row = self._folds.decode(table, data)
        for field, wish in wishes.items():
            value = getattr(row, field)
            items = value if isinstance(value, list | tuple | set | frozenset) else (value,)
            if all(item is None or text_of(item) != wish for item in items):
                return False
        return True

    def _rows(self, owned: PartitionAssignment, table: TableDef, prefix: bytes, after: str | None) -> Iterator[Row]:
        start = None if after is None else max(after.encode() + b"\x00", prefix)
        return owned.stores[store_name(table)].scan_committed(prefix, start)

    def _of_parts(self, table: TableDef, key: bytes) -> Response:
        """Answer a row of which each partition has a part, as far as this worker has it."""
        assignments = self._proof.assignments()
        stores = [owned.stores[store_name(table)] for owned in assignments]
        parts = [self._folds.decode(table, data) for store in stores if (data := store.committed(key)) is not None]
        return of(assignments, answer(self._merged(table, key, parts)) if parts else problem(404, "no such row"))

    def _merged(self, table: TableDef, key: bytes, parts: list[Any]) -> dict[str, Any]:
        if table.merge is None:
            raise RuntimeError(f"table {table.name} has no parts")
        value = self._folds.plain(table.merge(parts))
        return {"key": key.decode("utf-8", "replace"), "value": value, "topic": None, "partition": None, "offset": None}

    def _shown(self, table: TableDef, owned: PartitionAssignment, key: bytes, value: bytes) -> dict[str, Any]:
        """Return a row with its place: the event that the partition has applied last, or the row's in the changelog."""
        store, source = owned.stores[store_name(table)], owned.sources.get(self._events)
        if table.of_runs:
            mark = store.db.mark(store.name)
            place = (store.topic, None if mark is None else mark.next_offset - 1)
        else:
            behind = self._behind(owned, table)
            applied = source.applied if behind is None and source else behind
            place = (self._events, None if applied is None else applied - 1)
        return {
            "key": key.decode("utf-8", "replace"),
            "value": self._folds.json(table, value),
            "topic": place[0],
            "partition": owned.partition,
            "offset": place[1],
        }


def _key(place: Place) -> bytes:
    return place[0]
