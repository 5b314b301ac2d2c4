"""Refuses what is not one SELECT over the views, before anything is planned or read.

DuckDB's own parser gives the tree. The settings of the connection refuse files, networks and extensions a second time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import orjson

from streams.query.sql.errors import SqlRefusedError
from streams.query.sql.views import TABLES, VIEWS, Moment, suffix

MOST: Final = 64 << 10
"""Characters of a statement."""

_TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "repeat_row"})
_NO_FUNCTIONS: Final = frozenset({
    "current_setting", "getenv", "getvariable", "set_config", "nextval", "currval", "write_log",
    "current_query", "txid_current", "sleep_ms", "query", "query_table", "read_text", "read_blob", "glob", "setseed",
})  # fmt: skip
_MOST_MOMENTS: Final = 4
_SHOWN: Final = 20
_PLACES: Final = f"the views are {', '.join(VIEWS)}"


@dataclass(frozen=True, slots=True)
class CheckedStatement:
    """A statement that may be planned: its text, the tables that it names, and the moments of its `AT` clauses."""

    text: str
    tables: tuple[str, ...]
    moments: tuple[Moment, ...]


def check(connection: Any, sql: str, tables: Collection[str] = ()) -> CheckedStatement:
    """Return what a statement names; raises SqlRefusedError with what to type instead, and errors of DuckDB's."""
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
    qualified = _qualify(found["statements"], tables)
    used = _check_tree(found["statements"], tables)
    moments = _moments(connection, found)
    if moments or qualified:
        (text,) = connection.execute("SELECT json_deserialize_sql(?::JSON)", [orjson.dumps(found).decode()]).fetchone()
    return CheckedStatement(text, tuple(sorted(used)), moments)


def _moments(connection: Any, tree: dict[str, Any]) -> tuple[Moment, ...]:
    """Return the moments of `AT` clauses, and let their places name the views at these moments instead."""
    moments: list[Moment] = []
    for node in [node for node in _nodes(tree["statements"]) if node.get("at_clause")]:
        moment = _moment(connection, node["at_clause"])
        if node.get("schema_name") and moment.time_ms is None:
            raise SqlRefusedError(
                f"A table is AT a time: type {TABLES}.{node['table_name']} AT (TIMESTAMP => TIMESTAMPTZ '…')."
            )
        if moment not in moments:
            moments.append(moment)
        if len(moments) > _MOST_MOMENTS:
            raise SqlRefusedError(f"The statement has more than {_MOST_MOMENTS} different AT clauses.")
        name = node["table_name"].lower() + suffix(moments.index(moment))
        node.update(table_name=name, at_clause=None, alias=node["alias"] or node["table_name"])
        node["qualified_name"] = {"path": [*([node["schema_name"]] if node["schema_name"] else []), name]}
    return tuple(moments)


def _moment(connection: Any, clause: dict[str, Any]) -> Moment:
    """Return the value of an `AT` clause, which DuckDB works out."""
    (empty,) = connection.execute("SELECT json_serialize_sql('SELECT 1')").fetchone()
    tree = orjson.loads(empty)
    tree["statements"][0]["node"]["select_list"] = [clause["expr"]]
    (text,) = connection.execute("SELECT json_deserialize_sql(?::JSON)", [orjson.dumps(tree).decode()]).fetchone()
    by_time = str(clause["unit"]).upper() == "TIMESTAMP"
    wanted = "epoch_ms(CAST(value AS TIMESTAMPTZ))" if by_time else "CAST(value AS BIGINT)"
    try:
        (value,) = connection.execute(f"SELECT {wanted} FROM ({text}) AS one(value)").fetchone()  # noqa: S608 - checked
    except duckdb.Error as error:
        raise SqlRefusedError(f"{first_line(error)} (in an AT clause)") from None
    if value is None or value < 0:
        raise SqlRefusedError(
            "AT needs a value: (TIMESTAMP => TIMESTAMPTZ '2026-11-24 08:00Z') or (VERSION => offset)."
        )
    return Moment(time_ms=value) if by_time else Moment(offset=value)


def first_line(error: Exception) -> str:
    """Return an error of DuckDB's as one line of bounded length."""
    text = " ".join(str(error).split("\n\n")[0].split())
    return text.split(' Use "SET ')[0][:400]  # settings cannot be changed


def _qualify(tree: Any, tables: Collection[str]) -> bool:
    """Let a table that is named alone be the one of `tables.NAME`, unless a view or a WITH has that name."""
    nodes = list(_nodes(tree))
    taken = {*VIEWS, *(str(entry["key"]).lower() for node in nodes for entry in _ctes(node))}
    known = {table.lower() for table in tables} - taken
    found = False
    for node in nodes:
        name = str(node.get("table_name", ""))
        alone = node.get("type") == "BASE_TABLE" and not node.get("schema_name") and not node.get("catalog_name")
        if alone and name.lower() in known:
            node.update(schema_name=TABLES, qualified_name={"path": [TABLES, name]})
            found = True
    return found


def _check_tree(tree: Any, tables: Collection[str]) -> set[str]:
    """Refuse what a statement must not name; return the tables that it names."""
    nodes = list(_nodes(tree))
    named = {str(entry["key"]).lower() for node in nodes for entry in _ctes(node)}
    used: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            used |= _check_table(node, named, tables)
        elif kind == "TABLE_FUNCTION":
            _check_table_function(node)
        elif kind == "SHOW_REF":
            raise SqlRefusedError("DESCRIBE, SHOW and SUMMARIZE are no SELECT; type: SELECT * FROM events LIMIT 1")
        elif str(node.get("function_name", "")).lower() in _NO_FUNCTIONS:
            raise SqlRefusedError(f"The function {node['function_name']} is not allowed; leave it out.")
    return used


def _check_table(node: dict[str, Any], named: set[str], tables: Collection[str]) -> set[str]:
    """Refuse what is no view or table; return the table's name if it is one."""
    name, schema = str(node.get("table_name", "")), str(node.get("schema_name") or "").lower()
    if schema == TABLES and not node.get("catalog_name"):
        known = {table.lower(): table for table in tables}
        if name.lower() not in known:
            raise SqlRefusedError(f"There is no table '{name[:80]}'; {_tables(tables)}.")
        return {known[name.lower()]}
    if schema or node.get("catalog_name") or name.lower() not in {*VIEWS, *named}:
        raise SqlRefusedError(f"There is no view '{name[:80]}'; {_PLACES}; {_tables(tables)}.")
    if node.get("at_clause") and name.lower() not in VIEWS:
        raise SqlRefusedError(f"AT is for views and tables, and '{name[:80]}' is neither.")
    return set()


def _tables(tables: Collection[str]) -> str:
    names = ", ".join(f"{TABLES}.{name}" for name in sorted(tables)[:_SHOWN])
    return f"the tables are {names}" if names else "there are no tables"


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
