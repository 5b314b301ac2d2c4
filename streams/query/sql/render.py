"""The forms of a result: JSON members, CSV, Parquet."""

from __future__ import annotations

import base64
import io
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
from pyarrow import csv, parquet

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.query.sql.limits import Format
    from streams.query.sql.query import SqlResult


def answer(result: SqlResult) -> bytes:
    """Return the answer of `POST /sql`."""
    return orjson.dumps({
        "columns": [field.name for field in result.table.schema],
        "types": [str(field.type) for field in result.table.schema],
        "rows": [list(row) for row in zip(*_columns(result.table), strict=True)],
        "truncated": result.truncated,
        "records_read": result.records,
        "bytes_read": result.bytes_read,
    })  # fmt: skip


def rows(result: SqlResult) -> bytes:
    """Return a JSON list of objects; of columns with one name the last counts."""
    names = result.table.schema.names
    found = [dict(zip(names, row, strict=True)) for row in zip(*_columns(result.table), strict=True)]
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def comma_separated(result: SqlResult) -> bytes:
    """Return CSV (RFC 4180) with a header; nested values as JSON."""
    sink = io.BytesIO()
    flat = [
        pa.array([None if value is None else orjson.dumps(value).decode() for value in _plain_all(column)])
        if pa.types.is_nested(column.type)
        else _in_seconds(column)
        for column in result.table.columns
    ]
    csv.write_csv(pa.table(flat, names=result.table.schema.names), sink)
    return sink.getvalue()


def as_parquet(result: SqlResult) -> bytes:
    """Return a Parquet file."""
    sink = io.BytesIO()
    table = pa.table([_in_seconds(column) for column in result.table.columns], names=result.table.schema.names)
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


FORMATS: Final[dict[Format, Callable[[SqlResult], bytes]]] = {
    "answer": answer,
    "json": rows,
    "csv": comma_separated,
    "parquet": as_parquet,
}


def _in_seconds(column: pa.ChunkedArray) -> Any:
    """Return intervals as seconds: neither CSV nor Parquet has them."""
    return pa.array(_plain_all(column), pa.float64()) if pa.types.is_interval(column.type) else column


def _columns(table: pa.Table) -> list[list[Any]]:
    return [_plain_all(column) for column in table.columns]


def _plain_all(column: pa.ChunkedArray) -> list[Any]:
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: Any) -> Any:  # noqa: C901, PLR0911 - one line a type
    """Return a value as JSON has it: whole numbers beyond 64 bits and intervals in seconds, bytes in base64."""
    if isinstance(value, pa.MonthDayNano):
        return (value.months * 30 + value.days) * 86_400 + value.nanoseconds / 1e9
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value()
        return (int(value) if abs(value) < 1 << 63 else str(value)) if whole else float(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
