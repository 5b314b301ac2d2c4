"""`GET /tables…`: rows from the worker that owns the key, scans over all workers of the table's pool."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from streams.gateway.answers import answer, passed_on
from streams.gateway.pages import cursor, cursor_of, gather, limit_of, merged
from streams.gateway.problem import Problem
from streams.gateway.runs import silent
from streams.gateway.submit import wrong
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.tables import TableDef
    from streams.gateway.deps import Deps
    from streams.gateway.operation import Call

_CONSISTENCY: Final = re.compile(r"offset:\d{1,18}")
_AT: Final = re.compile(r"offset:\d{1,18}|\d{1,18}|[0-9T:.+Z -]{10,40}")
_NOT_FOUND: Final = 404


class Tables:
    """Knows the tables of the catalogue; everything else is their owners' word."""

    def __init__(self, deps: Deps) -> None:
        self._tables = deps.catalog.tables
        self._owners = deps.owners

    async def list(self, _: Call) -> Response:
        """`GET /tables`."""
        return answer({"tables": [_shown(table) for _, table in sorted(self._tables.items())]})

    async def row(self, call: Call) -> Response:
        """`GET /tables/{name}/{key}`; a key may hold slashes."""
        table, key = self._table(call), call.param("key")
        query = {name: call.query_params[name] for name in ("consistency", "topic", "at") if name in call.query_params}
        if "consistency" in query and _CONSISTENCY.fullmatch(query["consistency"]) is None:
            raise wrong("consistency", "it must be offset:N with the offset that a 202 gave")
        if "at" in query and _AT.fullmatch(query["at"]) is None:
            raise wrong("at", "it must be an offset or an RFC 3339 time")
        path = f"/owner/tables/{quote(table.name)}/{quote(key, safe='')}" + (f"?{urlencode(query)}" if query else "")
        try:
            said = await self._owners.ask(table.pool, key, path)
        except OwnerUnavailableError as error:
            raise silent(error) from error
        if said.status == _NOT_FOUND:
            raise Problem("not-found", f"Table '{table.name}' has no such row.")
        return passed_on(said)

    async def scan(self, call: Call) -> Response:
        """`GET /tables/{name}`: rows in the order of their keys."""
        table, limit = self._table(call), limit_of(call)
        query: dict[str, str | int | None] = {
            "prefix": call.query_params.get("prefix"),
            "limit": limit,
            "cursor": cursor_of(call),
        }
        parts = await gather(self._owners, [table.pool], f"/owner/tables/{quote(table.name)}", query)
        rows, more = merged(parts, "rows", _order, limit)
        return answer({"rows": rows, "next": cursor(str(rows[-1]["key"])) if more else None})

    def _table(self, call: Call) -> TableDef:
        table = self._tables.get(call.param("name"))
        if table is None:
            raise Problem("unknown-table", f"Known tables are: {', '.join(sorted(self._tables)) or 'none'}.")
        return table


def _order(row: dict[str, Any]) -> bytes:
    return str(row["key"]).encode()


def _shown(table: TableDef) -> dict[str, Any]:
    return {
        "name": table.name,
        "version": table.version,
        "pool": table.pool,
        "of": [kind.event_type for kind in table.of],
        "lookups": list(table.lookups),
        "doc": table.doc,
    }
