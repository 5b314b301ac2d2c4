"""Runs one statement over the topics and returns its rows as Arrow batches, within its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.plan import Need, create, create_tables, needs
from streams.query.sql.scan import Counter, TopicReads, batches, schema_of
from streams.query.sql.statement import check, first_line
from streams.query.sql.views import AGENT, NEED_AGENT, SOURCES, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streams.query.sql.limits import SqlLimits

_FETCHED: Final = 2_048  # rows of a result at a time
_AGENTS_OF: Final = frozenset({"run_id", AGENT})
_CONFIG: Final = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "2",
    "temp_directory": "",
    "max_temp_directory_size": "0B",
}


@dataclass(frozen=True, slots=True)
class SqlResult:
    """The rows of a statement; `truncated` where it has more than it may return."""

    table: pa.Table
    truncated: bool
    records: int
    bytes_read: int


class Stream:
    """A source as DuckDB scans it: each scan begins anew."""

    def __init__(
        self, schema: pa.Schema, made: Callable[[], Iterator[pa.RecordBatch]], failed: list[Exception]
    ) -> None:
        self._schema = schema
        self._made = made
        self._failed = failed

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the batches (Arrow's C stream interface); they are read when DuckDB asks for them."""
        return pa.RecordBatchReader.from_batches(self._schema, self._kept()).__arrow_c_stream__(requested_schema)

    def _kept(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._made()
        except Exception as error:
            self._failed.append(error)  # DuckDB hands its text on, not the error
            raise


def run(sql: str, reads: TopicReads, topics: Callable[[Source], Sequence[str]], limits: SqlLimits) -> SqlResult:
    """Return the rows of a statement; raises SqlRefusedError, SqlLimitError, TopicError."""
    planned, looked_up, text = _plan(sql)
    failed: list[Exception] = []
    counter = Counter(limits.read_mib << 20, {"records": 0, "bytes": 0})
    connection = duckdb.connect(":memory:", config={**_CONFIG, "memory_limit": f"{limits.memory_mib}MiB"})
    connection.execute("SET TimeZone = 'UTC'")
    for source in SOURCES:
        need = planned.get(source.name, Need(frozenset()))

        def made(source: Source = source, need: Need = need) -> Iterator[pa.RecordBatch]:
            return batches(source, topics(source), need, reads, counter)

        connection.register(source.name, Stream(schema_of(source), made, failed))
    create(connection, looked_up)
    connection.execute("SET lock_configuration = true")
    try:
        table, truncated = _fetched(connection, text, limits)
    except (duckdb.Error, pa.ArrowException) as error:
        if failed:
            raise failed[0] from error
        raise _explained(error, limits) from error
    return SqlResult(table, truncated, counter.read["records"], counter.read["bytes"])


def _plan(sql: str) -> tuple[dict[str, Need], frozenset[str], str]:
    """Return what the statement needs, the sources whose agents are looked up, and the checked statement."""
    connection = duckdb.connect(":memory:", config={**_CONFIG, "memory_limit": "256MiB"})
    connection.execute("SET TimeZone = 'UTC'")
    create_tables(connection)
    create(connection)
    text = check(connection, sql)
    try:
        planned = needs(connection, text)
    except duckdb.Error as error:
        raise SqlRefusedError(first_line(error)) from None
    finally:
        connection.close()
    looked_up = frozenset(name for name in NEED_AGENT if name in planned and AGENT in planned[name].columns)
    for name in looked_up:
        planned[name] = Need(**{**_members(planned[name]), "columns": planned[name].columns | {"run_id"}})
    if looked_up:
        known = planned.get("run_events")
        planned["run_events"] = Need((known.columns if known else frozenset()) | _AGENTS_OF)
    return planned, looked_up, text


def _members(need: Need) -> dict[str, Any]:
    return {name: getattr(need, name) for name in Need.__slots__}


def _fetched(connection: Any, text: str, limits: SqlLimits) -> tuple[pa.Table, bool]:
    reader = connection.sql(text).to_arrow_reader(_FETCHED)
    found: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        found.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if size > limits.result_mib << 20:
            raise SqlLimitError(
                f"The result is larger than {limits.result_mib} MiB: select fewer columns, or add LIMIT."
            )
        if rows > limits.rows:
            break
    return pa.Table.from_batches(found, reader.schema).slice(0, limits.rows), rows > limits.rows


def _explained(error: Exception, limits: SqlLimits) -> Exception:
    text = first_line(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return SqlLimitError(
            f"The statement takes more than {limits.memory_mib} MiB: aggregate, narrow it by time, or leave out data."
        )
    return SqlRefusedError(text)
