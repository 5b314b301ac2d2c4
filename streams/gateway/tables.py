"""`GET /tables…`: rows from the worker that owns the key, scans over all workers of the table's pool."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import orjson
from pydantic import TypeAdapter

from streams.contract.tables import RowPage, TableInfo, TableList, TableRow
from streams.define.tables import RESERVED
from streams.gateway.answers import GONE, UNSUPPORTED, answer, answer_as, relayed
from streams.gateway.operation import TEXT, Operation, Param
from streams.gateway.pages import CURSOR, LIMIT, cursor, cursor_of, gather, limit_of, merged
from streams.gateway.pools import no_worker
from streams.gateway.problem import (
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    MALFORMED_REQUEST,
    NOT_FOUND,
    OWNER_UNAVAILABLE,
    Problem,
    ProblemType,
    invalid_request,
)
from streams.gateway.runs import STALE, silent, stale_of
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from streams.define.tables import TableDef
    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.past_rows import Past
    from streams.query.wire import WorkerResponse

UNKNOWN_TABLE: Final = ProblemType("unknown-table", 404, "There is no such table")

_CONSISTENCY: Final = re.compile(r"offset:\d{1,18}")
_OK: Final = 200
_NOT_FOUND: Final = 404


class Tables:
    """Lists the tables of the catalogue; their owners answer everything else."""

    def __init__(self, deps: Deps, past: Past) -> None:
        self._tables = deps.catalog.tables
        self._pools = {"default", *deps.catalog.pools()}
        self._pool_of = {agent.name: agent.pool for agent in deps.catalog.agents.values()}
        self._owners = deps.owners
        self._names = deps.names
        self._past = past

    async def all(self, _: OperationCall) -> Response:
        """`GET /tables`."""
        return answer(TableList(tables=[_info(table) for _, table in sorted(self._tables.items())]))

    async def row(self, call: OperationCall) -> Response:
        """`GET /tables/{name}/{key}`; a key may hold slashes."""
        table, key = self._table(call), call.param("key")
        query = self._wish(table, call)
        if "at" in call.query_params:
            return await self._past.row(call, table, key)
        stale = stale_of(call)
        if stale and query:
            raise invalid_request("stale", "who takes an old answer cannot ask for one with an offset")
        path = f"/owner/tables/{quote(table.name)}/{quote(key, safe='')}" + (f"?{urlencode(query)}" if query else "")
        try:
            if table.merge is not None:
                return await self._of_parts(table, key, path)
            response = await self._ask(table, key, path, stale=stale)
        except OwnerUnavailableError as error:
            raise silent(error) from error
        if response.status == _NOT_FOUND:
            raise _no_row(table)
        return relayed(response)

    async def scan(self, call: OperationCall) -> Response:
        """`GET /tables/{name}`: rows in the order of their keys, or those that a lookup finds."""
        table, limit = self._table(call), limit_of(call)
        query: dict[str, str | int | None] = {
            "prefix": call.query_params.get("prefix"),
            "limit": limit,
            "cursor": cursor_of(call),
            **_lookups(table, call),
        }
        parts = await gather(self._owners, self._homes(table), f"/owner/tables/{quote(table.name)}", query)
        if table.merge is not None:
            together = _merged(table, [row for part in parts for row in part["rows"]])
            parts = [{"rows": together, "next": any(part.get("next") for part in parts)}]
        rows, more = merged(parts, "rows", _order, limit)
        found = {"rows": rows, "next": cursor(str(rows[-1]["key"])) if more else None}
        return answer_as(RowPage, {**found, "incomplete": lacking} if (lacking := self._lacking(table)) else found)

    def _wish(self, table: TableDef, call: OperationCall) -> dict[str, str]:
        """Return what a row must have seen, as its owner is asked; Problem 422 for no offset of its partition."""
        query = {name: call.query_params[name] for name in ("consistency", "topic") if name in call.query_params}
        if "topic" in query:
            query["topic"] = self._names.topic(self._names.bare(query["topic"]))
        if "consistency" not in query:
            return query
        if _CONSISTENCY.fullmatch(query["consistency"]) is None:
            raise invalid_request("consistency", "it must be offset:N with the offset that a 202 gave")
        if table.merge is not None:
            raise invalid_request(
                "consistency", f"rows of '{table.name}' are made of all partitions, an offset is of one"
            )
        return query

    async def _ask(self, table: TableDef, key: str, path: str, *, stale: bool) -> WorkerResponse:
        """Return the answer of the first pool that has the row; only tables of runs are in several."""
        first, *others = self._homes(table, key)
        ask = self._owners.ask_stale if stale else self._owners.ask
        response = await ask(first, key, path)
        for pool in others:
            if response.status != _NOT_FOUND:
                break
            response = await ask(pool, key, path)
        if response.status == _NOT_FOUND and (lacking := self._lacking(table)):
            raise OwnerUnavailableError(f"No row here, but {lacking[0]['reason']}; it may have the row.")
        return response

    async def _of_parts(self, table: TableDef, key: str, path: str) -> Response:
        """Ask everybody who may have a part of a row."""
        pools = self._homes(table, key)
        responses = [one for pool in pools for one in await self._owners.ask_all(pool, path)]
        rows = [orjson.loads(one.body) for one in responses if one.status == _OK]
        if not rows and key not in self._pool_of and (lacking := self._lacking(table)):
            raise OwnerUnavailableError(f"No row here, but {lacking[0]['reason']}; it may have the row.")
        if not rows:
            raise _no_row(table)
        return answer_as(TableRow, _merged(table, rows)[0])

    def _homes(self, table: TableDef, key: str = "") -> Sequence[str]:
        """Return the pools that have the table: for one of runs each that has a worker now, or could have one.

        A row of an agent (the figures of `agent_stats`) is its pool's.
        """
        if not table.of_runs:
            return [table.pool]
        if table.merge is not None and key in self._pool_of:
            return [self._pool_of[key]]
        live = [pool for pool in self._owners.pools() if pool in self._pools]
        return live or ["default"]

    def _lacking(self, table: TableDef) -> Sequence[dict[str, str]]:
        """Return the pools without a live worker whose part of a table of runs nobody can answer."""
        live = self._owners.pools()
        return [no_worker(pool) for pool in sorted(self._pools) if pool not in live] if table.of_runs else []

    def _table(self, call: OperationCall) -> TableDef:
        table = self._tables.get(call.param("name"))
        if table is None:
            raise UNKNOWN_TABLE(f"Known tables are: {', '.join(sorted(self._tables)) or 'none'}.")
        return table

    def operations(self) -> list[Operation]:
        """Return the operations that read tables."""
        row_params = (
            Param("consistency", {"type": "string", "pattern": "^offset:[0-9]+$"}, "wait until this offset is applied"),
            Param("topic", TEXT, "the topic of that offset; events if not given"),
            Param("at", TEXT, "as it was: after the record with this offset, or at an RFC 3339 time"),
            STALE,
        )
        problems = (UNKNOWN_TABLE, INVALID_REQUEST, NOT_FOUND, OWNER_UNAVAILABLE)
        scan_params = (Param("prefix", TEXT, "only keys that begin so"), LIMIT, CURSOR)
        return [
            Operation("GET", "/tables", self.all, "read", "The tables", {200: TableList}, tag="tables"),
            Operation(
                "GET",
                "/tables/{name}",
                self.scan,
                "read",
                "Rows in order of key",
                {200: RowPage},
                problems,
                scan_params,
                tag="tables",
            ),
            Operation(
                "GET",
                "/tables/{name}/{key:text}",
                self.row,
                "read",
                "A row",
                {200: TableRow},
                (*problems, MALFORMED_REQUEST, GONE, UNSUPPORTED, LOG_UNAVAILABLE),
                row_params,
                tag="tables",
            ),
        ]


def _lookups(table: TableDef, call: OperationCall) -> dict[str, str]:
    """Return the lookups of a query as an owner is asked for them; Problem 422 for a field that is none."""
    found = {}
    for name, value in call.query_params.items():
        if name in table.lookups:
            found[f"by.{name}"] = value
        elif name not in RESERVED:
            known = ", ".join(table.lookups) or "none"
            raise invalid_request(name, f"table '{table.name}' has no such lookup; it has: {known}")
    return found


def _merged(table: TableDef, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that came in parts, each whole."""
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        parts[row["key"]].append(row)
    kind: TypeAdapter[Any] = TypeAdapter(table.row)
    whole = []
    for found in parts.values():
        value = found[0]["value"]
        if len(found) > 1 and table.merge is not None:
            together = table.merge([kind.validate_python(part["value"]) for part in found])
            value = kind.dump_python(together, mode="json", by_alias=True)
        whole.append({**found[0], "value": value})
    return whole


def _no_row(table: TableDef) -> Problem:
    return NOT_FOUND(f"Table '{table.name}' has no such row.")


def _order(row: dict[str, Any]) -> bytes:
    return str(row["key"]).encode()


def _info(table: TableDef) -> TableInfo:
    return TableInfo(
        name=table.name,
        version=table.version,
        pool="*" if table.of_runs else table.pool,
        of=[kind.event_type for kind in table.of],
        lookups=list(table.lookups),
        doc=table.doc,
    )
