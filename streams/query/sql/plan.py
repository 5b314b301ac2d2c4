"""Asks DuckDB's optimizer, over empty tables, which sources, columns and bounds a statement needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from streams.query.sql.views import TABLES, SqlSource, Views

_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_COMPARISON: Final = re.compile(
    r"\(*\"?(?P<column>[a-z_]+)\"? (?P<sign>>=|<=|=|>|<) (?:'(?P<text>\d+)'(?:::[A-Z ]+)?|(?P<number>\d+))\)*"
)
"""A comparison in a plan, its literal replaced by a number."""

_NOT_OPTIMIZED: Final = "statistics_propagation, empty_result_pullup"
"""Optimizers that would take an empty table out of the plan."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a statement needs of a source: bounds that rule records out, None where there is none."""

    columns: frozenset[str]
    since_ms: int | None = None
    partition: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    key: str | None = None


def create(connection: Any, views: Views, looked_up: frozenset[str] = frozenset()) -> None:
    """Create the derived views over the sources."""
    connection.execute(f"CREATE SCHEMA {TABLES}")
    for view, select in views.definitions(looked_up):
        connection.execute(f"CREATE VIEW {view} AS {select}")


def create_tables(connection: Any, views: Views) -> None:
    """Create an empty table for each source."""
    for source in views.sources.values():
        columns = ", ".join(f'"{column.name}" {column.type}' for column in source.columns)
        connection.execute(f"CREATE TABLE {source.name} ({columns})")


def needs(connection: Any, sql: str, views: Views) -> dict[str, Need]:
    """Return what a checked statement needs, by source; raises DuckDB's errors of names and types."""
    connection.execute(f"SET disabled_optimizers = '{_NOT_OPTIMIZED}'")
    (_, text) = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}").fetchone()
    found: dict[str, list[Need]] = {}
    for name, scan in _scans(orjson.loads(text)):
        found.setdefault(name, []).append(_need(views.sources[name], scan))
    return {name: _both(wants) for name, wants in found.items()}


def _scans(nodes: Iterable[Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for node in nodes:
        extra = node.get("extra_info") or {}
        if "Table" in extra:
            yield str(extra["Table"]).rsplit(".", 1)[-1].strip('"'), extra
        yield from _scans(node.get("children") or [])


def _need(source: SqlSource, scan: dict[str, Any]) -> Need:
    columns = frozenset(name.strip('"') for name in _texts(scan.get("Projections")) if name)
    bounds: dict[str, Any] = {}
    for text in _texts(scan.get("Filters")):
        for column, sign, value in _comparisons(text):
            _bound(source, bounds, column, sign, value)
    filtered = {column.name for column in source.columns for text in _texts(scan.get("Filters")) if column.name in text}
    return Need(columns | filtered, **bounds)


def _comparisons(text: str) -> list[tuple[str, str, str]]:
    """Return the comparisons of a filter that is nothing but an AND of such with constants."""
    literals: list[str] = []

    def masked(found: re.Match[str]) -> str:
        literals.append(found[1].replace("''", "'"))
        return f"'{len(literals) - 1}'"

    parts = [_COMPARISON.fullmatch(part) for part in _LITERAL.sub(masked, text).split(" AND ")]
    if None in parts:
        return []
    return [
        (part["column"], part["sign"], literals[int(part["text"])] if part["text"] is not None else part["number"])
        for part in parts
        if part is not None
    ]


def _bound(source: SqlSource, bounds: dict[str, Any], column: str, sign: str, value: str) -> None:
    """Take a filter as a bound where the reader has one; DuckDB applies every filter anyway."""
    if column in source.key_columns and sign == "=":
        bounds["key"] = value
    elif column == "time" and sign in (">", ">=", "=") and (moment := _moment(value)) is not None:
        bounds["since_ms"] = max(moment, bounds.get("since_ms", 0))
    elif column in ("partition", "offset") and value.isascii() and value.isdigit():
        number = int(value[:18])
        if column == "partition" and sign == "=":
            bounds["partition"] = number
        if column == "offset" and sign in (">", ">=", "="):
            bounds["first_offset"] = max(number, bounds.get("first_offset", 0))
        if column == "offset" and sign in ("<", "<=", "="):
            bounds["last_offset"] = min(number, bounds.get("last_offset", number))


def _moment(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _texts(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(one) for one in value]


def _both(wants: list[Need]) -> Need:
    """Return what covers all scans of a source: bounds only where every scan has one."""

    def least(values: list[int | None]) -> int | None:
        return None if None in values else min(value for value in values if value is not None)

    def same(values: list[Any]) -> Any:
        return values[0] if len(set(values)) == 1 else None

    lasts = [want.last_offset for want in wants]
    return Need(
        frozenset(name for want in wants for name in want.columns),
        since_ms=least([want.since_ms for want in wants]),
        partition=same([want.partition for want in wants]),
        first_offset=least([want.first_offset for want in wants]),
        last_offset=None if None in lasts else max(last for last in lasts if last is not None),
        key=same([want.key for want in wants]),
    )
