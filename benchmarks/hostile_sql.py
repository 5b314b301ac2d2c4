"""Runs statements that take too much, each in its process: seconds, memory and what became of it, as a table.

`uv run python -m benchmarks.hostile_sql`; no Kafka is needed.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from typing import Final

from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings

LIMITS: Final = SqlLimits(rows=1_000, seconds=4, memory_mib=128, result_mib=4)
HOSTILE: Final = {
    "recursion without end": "with recursive t(a) as (select 1 union all select a + 1 from t) select max(a) from t",
    "recursion that grows": "with recursive t(a) as (select 1 union all select a + 1 from t, range(9)) from t",
    "long series": "select sum(a) from generate_series(1, 1000000000000) as s(a)",
    "list of a long series": "select generate_series(1, 1000000000000)",
    "cross join": "select sum(a.range * b.range) from range(10000000) a, range(10000000) b",
    "sort beyond memory": "select * from range(1000000000) order by hash(range) desc",
    "groups beyond memory": "select count(*) from (select range, count(*) from range(1000000000) group by 1)",
    "distinct pairs": "select count(distinct (a.range, b.range)) from range(100000) a, range(100000) b",
    "join beyond memory": "select count(*) from range(100000000) a join range(100000000) b on a.range = b.range * 3",
    "window beyond memory": "select row_number() over (order by hash(range)) from range(1000000000)",
    "string of 2 GB": "select repeat('x', 2000000000)",
    "string of 1 TB": "select repeat(repeat(repeat('x', 10000), 10000), 10000)",
    "joined strings": "select string_agg(repeat('x', 1000000), '') from range(10000)",
    "padded string": "select length(lpad('x', 2000000000, 'y'))",
    "list beyond memory": "select list(range) from range(1000000000)",
    "lists in lists": "select list_transform(range(100000), lambda x: range(100000))",
    "list of lists aggregated": "select list(l) from (select range(100000) l from range(100000))",
    "many large rows": "select repeat('x', 1000000) || range from range(100000)",
    "rows without end": "select unnest(range(1000000000)), unnest(range(1000000000))",
    "pivot of many columns": "pivot (select range as a from range(100000)) on a using count(*)",
    "10,000 brackets": "select " + "(" * 10_000 + "1" + ")" * 10_000,
    "list nested 10,000 deep": "select " + "[" * 10_000 + "1" + "]" * 10_000,
    "10,000 times not": "select " + "not " * 10_000 + "true",
    "2,000 nested selects": "select * from (" * 2_000 + "select 1" + ")" * 2_000,
    "union of 3,000 selects": " union all ".join(["select 1"] * 3_000),
    "30,000 columns": "select " + ",".join(["1"] * 30_000),
    "regular expression of 60,000 characters": "select regexp_matches('a', '" + "(a|b)" * 12_000 + "')",
    "nested quantifiers": "select regexp_matches(repeat('a', 1000), '((a{0,100}){0,100}){0,100}')",
    "quantifiers without an end": "select regexp_matches(repeat('a', 100000) || 'b', '(a+)+$')",
    "LIKE of 1,000 wildcards": "select repeat('a', 100000) like '" + "%a" * 1_000 + "b'",
    "JSON nested 1,000,000 deep": "select json_extract(repeat('[', 1000000), '$')",
    "factorial": "select factorial(100000)",
}


def main() -> None:
    """Run one statement by its name, or each in a process of its own, whose memory is then that of the statement."""
    if len(sys.argv) > 1:
        run(sys.argv[1], HOSTILE[sys.argv[1]])
        return
    for name in HOSTILE:
        subprocess.run([sys.executable, "-m", "benchmarks.hostile_sql", name], check=True)


def run(name: str, sql: str) -> None:
    """Run a statement and print its row of the table."""
    processes = SqlProcesses(Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=()))
    begun = time.monotonic()
    try:
        found = asyncio.run(processes.run(sql, LIMITS, "json"))
        outcome = f"{found.rows} rows"
    except (SqlLimitError, SqlRefusedError) as error:
        outcome = str(error)[:160]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = time.monotonic() - begun
    processor = used.ru_utime + used.ru_stime
    print(f"| {name} | {spent:.1f} | {processor:.1f} | {used.ru_maxrss >> 10} | {outcome} |", flush=True)


if __name__ == "__main__":
    main()
