"""Runs one statement over the topics and returns its rows as Arrow batches, within its limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import duckdb
import orjson
import pyarrow as pa

from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.plan import Need, create, create_tables, needs
from streams.query.sql.rows import schema_of
from streams.query.sql.scan import Counter, TopicReads, batches
from streams.query.sql.statement import check, first_line
from streams.query.sql.views import AGENT, NEED_AGENT, SqlSource, Views, views_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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


class ArrowStream:
    """A source as DuckDB scans it: each scan begins anew."""

    def __init__(
        self, schema: pa.Schema, made: Callable[[], Iterator[pa.RecordBatch]], failed: list[Exception]
    ) -> None:
        self._schema = schema
        self._made = made
        self._failed = failed

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the batches (Arrow's C stream interface); they are read when DuckDB asks for them."""
        return pa.RecordBatchReader.from_batches(self._schema, self._noted()).__arrow_c_stream__(requested_schema)

    def _noted(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._made()
        except Exception as error:
            self._failed.append(error)  # DuckDB hands its text on, not the error
            raise


def run(
    sql: str,
    reads: TopicReads,
    topics: Callable[[SqlSource], Sequence[str]],
    limits: SqlLimits,
    tables: Mapping[str, SqlSource] | None = None,
) -> SqlResult:
    """Return the rows of a statement; raises SqlRefusedError, SqlLimitError, TopicError."""
    plan = _plan(sql, tables or {})
    failed: list[Exception] = []
    counter = Counter(limits.read_mib << 20, {"records": 0, "bytes": 0})
    connection = duckdb.connect(":memory:", config={**_CONFIG, "memory_limit": f"{limits.memory_mib}MiB"})
    connection.execute("SET TimeZone = 'UTC'")
    for source in plan.views.sources.values():
        need = plan.needs.get(source.name, Need(frozenset()))

        def made(source: SqlSource = source, need: Need = need) -> Iterator[pa.RecordBatch]:
            return batches(source, topics(source), need, reads, counter)

        connection.register(source.name, ArrowStream(schema_of(source), made, failed))
    create(connection, plan.views, plan.looked_up)
    connection.execute("SET lock_configuration = true")
    try:
        table, truncated = _fetched(connection, plan.text, limits)
    except (duckdb.Error, pa.ArrowException) as error:
        if failed:
            raise failed[0] from error
        raise _explained(error, limits) from error
    return SqlResult(table, truncated, counter.read["records"], counter.read["bytes"])


@dataclass(frozen=True, slots=True)
class _Plan:
    """A checked statement, the sources and views that it may name, and what it needs of each source.

    The agents of the sources in `looked_up` are looked up by the run's id.
    """

    text: str
    views: Views
    needs: dict[str, Need]
    looked_up: frozenset[str]


def _plan(sql: str, tables: Mapping[str, SqlSource]) -> _Plan:
    connection = duckdb.connect(":memory:", config={**_CONFIG, "memory_limit": "256MiB"})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        checked = check(connection, sql, tables)
        views = views_of(checked.moments, [tables[name] for name in checked.tables])
        create_tables(connection, views)
        create(connection, views)
        planned = needs(connection, checked.text, views)
    except duckdb.Error as error:
        raise SqlRefusedError(first_line(error)) from None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise SqlRefusedError("The statement nests too deeply: name its parts with WITH.") from None
    finally:
        connection.close()
    looked_up: set[str] = set()
    for name in list(planned):
        stem, at, number = name.partition("_at_")
        if stem in NEED_AGENT and AGENT in planned[name].columns:
            looked_up.add(name)
            planned[name] = replace(planned[name], columns=planned[name].columns | {"run_id"})
            runs = planned.get(f"run_events{at}{number}")
            planned[f"run_events{at}{number}"] = Need((runs.columns if runs else frozenset()) | _AGENTS_OF)
    return _Plan(checked.text, views, planned, frozenset(looked_up))


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
    return pa.Table.from_batches(found, reader.schema)[: limits.rows], rows > limits.rows


def _explained(error: Exception, limits: SqlLimits) -> Exception:
    text = first_line(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return SqlLimitError(
            f"The statement takes more than {limits.memory_mib} MiB: aggregate, narrow it by time, or leave out data."
        )
    return SqlRefusedError(text)
