"""The views of SQL: what a statement may name, the columns of each, and the topics that hold their records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ColumnType: TypeAlias = Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMPTZ", "JSON"]

VARCHAR: Final = "VARCHAR"
BIGINT: Final = "BIGINT"
DOUBLE: Final = "DOUBLE"
BOOLEAN: Final = "BOOLEAN"
TIME: Final = "TIMESTAMPTZ"
JSON: Final = "JSON"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a source: the member of the record's data that it holds, or a part of the record for `$…`.

    A path such as `usage.cost_usd` leads into a member. Members in milliseconds become times.
    """

    name: str
    type: ColumnType
    member: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What `AT` says: after the record with an offset in each partition, or a time in ms since the epoch."""

    offset: int | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SqlSource:
    """The records of some topics as rows; `types` are the event types that it has, all when there are none.

    `key_columns` hold the record's key, so that an equality on one of them chooses a partition. A `journal` has other
    records beside entries. A `changelog` keeps the records after `until`, because they show which rows are not known.
    """

    name: str
    topics: tuple[str, ...]
    columns: tuple[Column, ...]
    types: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ("key",)
    journal: bool = False
    changelog: bool = False
    until: Moment | None = None

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)


RECORD: Final = (
    Column("topic", VARCHAR, "$topic"),
    Column("partition", BIGINT, "$partition"),
    Column("offset", BIGINT, "$offset"),
    Column("time", TIME, "$time"),
    Column("key", VARCHAR, "$key"),
    Column("id", VARCHAR, "$id"),
    Column("type", VARCHAR, "$type"),
    Column("source", VARCHAR, "$source"),
)
"""What every source has of a record; `time` is the record's timestamp in Kafka."""

DATA: Final = Column("data", JSON, "$data")
USAGE: Final = (
    Column("input_tokens", BIGINT, "usage.input_tokens"),
    Column("output_tokens", BIGINT, "usage.output_tokens"),
    Column("cost_usd", DOUBLE, "usage.cost_usd"),
)


def _same(kind: ColumnType, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind, name) for name in names)


EVENTS: Final = SqlSource("events", ("events",), (*RECORD, DATA))
RUN_EVENTS: Final = SqlSource(
    "run_events",
    ("runs",),
    (
        *RECORD,
        *_same(VARCHAR, "run_id", "agent", "parent", "stage", "failed_path"),
        *_same(BIGINT, "ending"),
        Column("started", TIME, "started_ms"),
        Column("created", TIME, "created_ms"),
        *USAGE,
        Column("error", JSON, "error"),
        DATA,
    ),
    key_columns=("key", "run_id"),
)
STEP_RECORDS: Final = SqlSource(
    "step_records",
    ("journal.*",),
    (
        *RECORD[:5],
        *_same(VARCHAR, "run_id", "agent", "path", "kind", "name", "stage", "status"),
        *_same(BIGINT, "seq", "resume", "attempt", "progress"),
        Column("started", TIME, "started_ms"),
        Column("finished", TIME, "finished_ms"),
        *USAGE,
        Column("error", JSON, "error"),
        DATA,
    ),
    key_columns=(),
    journal=True,
)
CALL_RECORDS: Final = SqlSource(
    "call_records",
    ("calls",),
    (
        *RECORD,
        *_same(VARCHAR, "hash", "run_id", "agent", "path", "kind", "name"),
        *_same(BIGINT, "version", "attempt"),
        Column("started", TIME, "started_ms"),
        Column("finished", TIME, "finished_ms"),
        *USAGE,
        Column("error", JSON, "error"),
        DATA,
    ),
    ("call.recorded",),
    ("key", "hash"),
)
DEAD_LETTER_EVENTS: Final = SqlSource(
    "dead_letter_events",
    ("dead-letters",),
    (
        *RECORD,
        *_same(VARCHAR, "dead_id", "source_topic", "consumer", "error", "error_type", "fingerprint", "run_id"),
        *_same(BIGINT, "source_partition", "source_offset", "attempts"),
        Column("first", TIME, "first_ms"),
        DATA,
    ),
    key_columns=("key", "dead_id"),
)
TICKS: Final = SqlSource(
    "ticks",
    ("ticks",),
    (*RECORD, *_same(VARCHAR, "schedule"), Column("slot", TIME, "slot_ms"), DATA),
    ("schedule.ticked",),
    ("key", "schedule"),
)
SOURCES: Final = (EVENTS, RUN_EVENTS, STEP_RECORDS, CALL_RECORDS, DEAD_LETTER_EVENTS, TICKS)

AGENT: Final = "agent"
NEED_AGENT: Final = ("call_records", "step_records")
"""Their records do not always name the agent: it is looked up by the run's id."""

DERIVED: Final = {
    "runs": """
SELECT * EXCLUDE (started, created, type, "source", id),
  CASE type WHEN 'run.started' THEN 'started' ELSE substr(type, 5) END AS status,
  min(started) OVER one AS started,
  CASE WHEN type <> 'run.started' THEN time END AS ended
FROM run_events{at}
WINDOW one AS (PARTITION BY run_id)
QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY "offset" DESC) = 1""",
    "steps": """
SELECT * FROM {step_records}
QUALIFY row_number() OVER (PARTITION BY run_id, path, resume ORDER BY "offset" DESC) = 1""",
    "calls": "SELECT * FROM {call_records}",
    "dead_letters": """
SELECT * EXCLUDE (type) FROM (
  SELECT *, CASE last_value(type) OVER one WHEN 'dead.redriven' THEN 'redriven' WHEN 'dead.discarded' THEN 'discarded'
    ELSE 'open' END AS status
  FROM dead_letter_events{at}
  WINDOW one AS (PARTITION BY dead_id ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
) WHERE type = 'dead.lettered'""",
}
"""The views that are made of sources, in the order in which they are created."""

VIEWS: Final = ("events", "runs", "run_events", "steps", "calls", "dead_letters", "ticks")
"""What a statement may name beside tables."""

TABLES: Final = "tables"
"""The schema of tables."""


@dataclass(frozen=True, slots=True)
class Views:
    """The sources and views that one statement may name: as they are, and at each moment that it names."""

    sources: Mapping[str, SqlSource]
    tables: Sequence[str]
    moments: int

    def definitions(self, looked_up: frozenset[str]) -> Iterator[tuple[str, str]]:
        """Yield each view with its SELECT; agents are looked up for the sources in `looked_up`."""
        for at in ("", *(suffix(number) for number in range(self.moments))):
            for view, select in DERIVED.items():
                parts = {name: _with_agent(name, at, join=name + at in looked_up) for name in NEED_AGENT}
                yield f"{view}{at}", select.format(at=at, **parts)
            for table in self.tables:
                yield f'{TABLES}."{table}{at}"', _rows(self.sources[table_source(table) + at])


def suffix(moment: int) -> str:
    """Return what ends the names of sources and views at a moment of a statement, by its number."""
    return f"_at_{moment}"


def table_source(table: str) -> str:
    """Return the name of a table's source."""
    return f"table_{table}"


def views_of(moments: Sequence[Moment], tables: Iterable[SqlSource]) -> Views:
    """Return what there is to name for a statement with these moments and tables."""
    chosen = list(tables)
    sources = {source.name: source for source in (*SOURCES, *chosen)}
    for number, moment in enumerate(moments):
        for source in (*SOURCES, *chosen):
            name = source.name + suffix(number)
            sources[name] = replace(source, name=name, until=moment)
    return Views(sources, [source.name.removeprefix(table_source("")) for source in chosen], len(moments))


def _with_agent(source: str, at: str, *, join: bool) -> str:
    if not join:
        return source + at
    return f"""
(SELECT one.* EXCLUDE (agent), coalesce(nullif(one.agent, ''), found.agent) AS agent FROM {source}{at} AS one
LEFT JOIN (SELECT run_id, any_value(agent) AS agent FROM run_events{at} GROUP BY run_id) AS found
ON found.run_id = one.run_id)"""  # noqa: S608 - names of this module


def _rows(source: SqlSource) -> str:
    """Return the SELECT of a table's rows; what became of a row that only has later records is not known."""
    values = [column.name for column in source.columns if column.member[0] != "$" or column is DATA]
    replaced = ", ".join(f'CASE WHEN later THEN NULL ELSE "{name}" END AS "{name}"' for name in values)
    return (
        f"SELECT * EXCLUDE (deleted, later) REPLACE ({replaced}), NOT later AS known FROM (SELECT * FROM {source.name} "  # noqa: S608 - identifiers of Python
        'QUALIFY row_number() OVER (PARTITION BY topic, "partition", key ORDER BY later, "offset" DESC) = 1) '
        "WHERE later OR NOT deleted"
    )
