"""Refuses what is not one SELECT over the views, before anything is planned or read.

DuckDB's own parser gives the tree. The settings of the connection refuse files, networks and extensions a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import duckdb
import orjson

from streams.query.sql.errors import SqlRefusedError
from streams.query.sql.views import VIEWS

MOST: Final = 64 << 10
"""Characters of a statement."""

_TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "repeat_row"})
_NO_FUNCTIONS: Final = frozenset({
    "current_setting", "getenv", "getvariable", "set_config", "nextval", "currval", "write_log",
    "current_query", "txid_current", "sleep_ms", "query", "query_table", "read_text", "read_blob", "glob", "setseed",
})  # fmt: skip
_PLACES: Final = f"the views are {', '.join(VIEWS)}"


def check(connection: Any, sql: str) -> str:
    """Return the statement without what follows it; raises SqlRefusedError with what to type instead."""
    if len(sql) > MOST:
        raise SqlRefusedError(f"The statement has {len(sql)} characters; {MOST} are the most.")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlRefusedError(first_line(error)) from None
    if len(statements) != 1:
        raise SqlRefusedError(f"Type one SELECT, not {len(statements)} statements; {_PLACES}.")
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise SqlRefusedError(f"Only SELECT is allowed, this is {statement.type.name}; {_PLACES}.")
    text = str(statement.query).strip().rstrip(";")
    (tree,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    found = orjson.loads(tree)
    if found.get("error"):
        raise SqlRefusedError(
            f"Only a plain SELECT is allowed ({found.get('error_message', 'it cannot be analysed')})."
        )
    _check_tree(found["statements"])
    return text


def first_line(error: Exception) -> str:
    """Return an error of DuckDB's as one line of bounded length."""
    return " ".join(str(error).split("\n\n")[0].split())[:400]


def _check_tree(tree: Any) -> None:
    nodes = list(_nodes(tree))
    named = {str(entry["key"]).lower() for node in nodes for entry in _ctes(node)}
    for node in nodes:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            _check_table(node, named)
        elif kind == "TABLE_FUNCTION":
            _check_table_function(node)
        elif kind == "SHOW_REF":
            raise SqlRefusedError("DESCRIBE, SHOW and SUMMARIZE are no SELECT; type: SELECT * FROM events LIMIT 1")
        elif str(node.get("function_name", "")).lower() in _NO_FUNCTIONS:
            raise SqlRefusedError(f"The function {node['function_name']} is not allowed; leave it out.")


def _check_table(node: dict[str, Any], named: set[str]) -> None:
    name = str(node.get("table_name", ""))
    if node.get("schema_name") or node.get("catalog_name") or name.lower() not in {*VIEWS, *named}:
        raise SqlRefusedError(f"There is no view '{name[:80]}'; {_PLACES}.")


def _check_table_function(node: dict[str, Any]) -> None:
    name = str((node.get("function") or {}).get("function_name", "")).lower()
    if name not in _TABLE_FUNCTIONS:
        raise SqlRefusedError(f"The table function {name[:80]} is not allowed: a statement reads no files; {_PLACES}.")


def _ctes(node: dict[str, Any]) -> list[dict[str, Any]]:
    held = node.get("cte_map")
    found: list[dict[str, Any]] = [dict(entry) for entry in (held or {}).get("map") or []]
    if isinstance(node.get("cte_name"), str) and node["cte_name"]:
        found.append({"key": node["cte_name"]})
    if isinstance(node.get("ctename"), str) and node["ctename"]:
        found.append({"key": node["ctename"]})
    return found


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the tree, without recursion: a hostile statement may nest deeply."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
