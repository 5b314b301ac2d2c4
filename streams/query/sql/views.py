"""The views of SQL: what a statement may name, the columns of each, and the topics that hold their records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ColumnType: TypeAlias = Literal["VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMPTZ", "JSON"]

VARCHAR: Final = "VARCHAR"
BIGINT: Final = "BIGINT"
DOUBLE: Final = "DOUBLE"
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
class Source:
    """The records of some topics as rows; `types` are the event types that it has, all when there are none.

    `key_columns` hold the record's key, so that an equality on one of them chooses a partition.
    """

    name: str
    topics: tuple[str, ...]
    columns: tuple[Column, ...]
    types: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ("key",)
    journal: bool = False

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


EVENTS: Final = Source("events", ("events",), (*RECORD, DATA))
RUN_EVENTS: Final = Source(
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
STEP_RECORDS: Final = Source(
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
CALL_RECORDS: Final = Source(
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
DEAD_LETTER_EVENTS: Final = Source(
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
TICKS: Final = Source(
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

_AGENTS: Final = "(SELECT run_id, any_value(agent) AS agent FROM run_events GROUP BY run_id)"

DERIVED: Final = {
    "runs": """
SELECT * EXCLUDE (started, created, type, "source", id),
  CASE type WHEN 'run.started' THEN 'started' ELSE substr(type, 5) END AS status,
  min(started) OVER one AS started,
  CASE WHEN type <> 'run.started' THEN time END AS ended
FROM run_events
WINDOW one AS (PARTITION BY run_id)
QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY "offset" DESC) = 1""",
    "steps": """
SELECT * FROM {steps}
QUALIFY row_number() OVER (PARTITION BY run_id, path, resume ORDER BY "offset" DESC) = 1""",
    "calls": "SELECT * FROM {calls}",
    "dead_letters": """
SELECT * EXCLUDE (type) FROM (
  SELECT *, CASE last_value(type) OVER one WHEN 'dead.redriven' THEN 'redriven' WHEN 'dead.discarded' THEN 'discarded'
    ELSE 'open' END AS status
  FROM dead_letter_events
  WINDOW one AS (PARTITION BY dead_id ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
) WHERE type = 'dead.lettered'""",
}
"""The views that are made of sources, in the order in which they are created."""

VIEWS: Final = ("events", "runs", "run_events", "steps", "calls", "dead_letters", "ticks")
"""What a statement may name."""


def definition(view: str, looked_up: frozenset[str]) -> str:
    """Return the SELECT of a derived view; agents are looked up for the sources in `looked_up`."""
    return DERIVED[view].format(
        calls=_with_agent("call_records", join="call_records" in looked_up),
        steps=_with_agent("step_records", join="step_records" in looked_up),
    )


def _with_agent(source: str, *, join: bool) -> str:
    if not join:
        return source
    agent = f"coalesce(nullif({source}.agent, ''), found.agent) AS agent"
    return (
        f"(SELECT {source}.* EXCLUDE (agent), {agent} FROM {source} "
        f"LEFT JOIN {_AGENTS} AS found ON found.run_id = {source}.run_id)"  # noqa: S608 - names of this module
    )
