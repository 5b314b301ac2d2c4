"""Rows of tables as their owner tells them: committed ones only, with the offset that they were made from."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from streams.worker.folds import Folds, store_name
from streams.worker.http.answers import answer, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.define.tables import TableDef
    from streams.worker.http.proof import Proof
    from streams.worker.state.slice import Slice

_PATIENCE_S = 2.5


class TablePages:
    """`/owner/tables…`."""

    def __init__(self, proof: Proof, folds: Folds, events: str) -> None:
        """Serve the tables of `folds`, made from the topic `events`."""
        self._proof = proof
        self._folds = folds
        self._events = events

    async def row(self, request: Request) -> Response:
        """Answer one row."""
        table = self._folds.tables.get(request.path_params["name"])
        if table is None:
            return problem(404, "no such table in this pool")
        if request.query_params.get("at"):
            return problem(501, "rows of the past are not served by this version")
        key = request.path_params["key"]
        owned = self._proof.slice_of(key)
        wanted = request.query_params.get("consistency")
        if wanted:
            topic = request.query_params.get("topic") or self._events
            await self._proof.applied(owned, topic, int(wanted.removeprefix("offset:")), _PATIENCE_S)
        value = owned.stores[store_name(table)].committed(key.encode())
        if value is None:
            return problem(404, "no such row")
        return answer(self._shown(table, owned, key.encode(), value))

    async def scan(self, request: Request) -> Response:
        """Answer rows in key order over all owned partitions."""
        table = self._folds.tables.get(request.path_params["name"])
        if table is None:
            return problem(404, "no such table in this pool")
        query = request.query_params
        limit = int(query.get("limit", "100"))
        prefix, after = query.get("prefix", "").encode(), query.get("cursor")
        rows: list[dict[str, Any]] = []
        for owned in self._proof.slices():
            for key, value in islice(self._rows(owned, table, prefix, after), limit + 1):
                rows.append(self._shown(table, owned, key, value))
        rows.sort(key=lambda row: str(row["key"]).encode())
        return answer({"rows": rows[:limit], "next": "more" if len(rows) > limit else None})

    def _rows(self, owned: Slice, table: TableDef, prefix: bytes, after: str | None) -> Iterator[tuple[bytes, bytes]]:
        start = None if after is None else max(after.encode() + b"\x00", prefix)
        return owned.stores[store_name(table)].scan_committed(prefix, start)

    def _shown(self, table: TableDef, owned: Slice, key: bytes, value: bytes) -> dict[str, Any]:
        source = owned.sources.get(self._events)
        return {
            "key": key.decode("utf-8", "replace"),
            "value": self._folds.json(table, value),
            "topic": self._events,
            "partition": owned.partition,
            "offset": source.applied - 1 if source else None,
        }
