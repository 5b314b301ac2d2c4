"""Tables are views of their changelogs, and every view can be asked as it was at a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from schemas.bus import NewDataArrived
from streams.define.tables import TableDef
from streams.query.sql.errors import SqlRefusedError
from tests.unit.query.sql._log import START, MemoryLog


class Stock(BaseModel):
    """How many there are of an article."""

    count: int
    place: str | None = None
    sold: bool = False
    seen: datetime | None = None
    tags: list[str] = []


def moment(seconds: float) -> str:
    """Return a time after the first record as SQL."""
    return f"TIMESTAMPTZ '{datetime.fromtimestamp(START / 1000 + seconds, UTC).isoformat()}'"


def at(seconds: float) -> str:
    """Return an AT clause of a time."""
    return f"AT (TIMESTAMP => {moment(seconds)})"


@pytest.fixture
def stock(log: MemoryLog) -> MemoryLog:
    log.tables["stock"] = TableDef("stock", lambda row, _: row, (NewDataArrived,), Stock)
    topic = "table.stock.v1.default"
    for second, key, row in (
        (0, "a", Stock(count=1, place="x")),
        (1, "b", Stock(count=5, seen=datetime.fromtimestamp(START / 1000, UTC), tags=["t"])),
        (2, "a", Stock(count=2, sold=True)),
        (4, "c", Stock(count=7)),
    ):
        log.write(topic, row, key=key, at=START + second * 1000)
    log.raw(topic, b"b", None, [], START + 3000)
    return log


def test_a_table_has_its_rows_with_a_column_for_each_field(stock: MemoryLog) -> None:
    assert stock.rows("select key, count, place, sold, known from tables.stock order by key") == [
        ("a", 2, None, True, True),
        ("c", 7, None, False, True),
    ]
    assert stock.rows("select data->>'$.count' from tables.stock where key = 'c'") == [("7",)]
    assert stock.reads[-1]["key"] == "c"
    assert stock.rows("select sum(s.count) from tables.stock s join tables.stock t using (key)") == [(9,)]
    assert "deleted" not in stock.select("select * from tables.stock").table.schema.names


def test_the_parts_of_a_row_are_looked_for_in_all_partitions(stock: MemoryLog) -> None:
    stock.tables["stock"] = replace(stock.tables["stock"], merge=lambda parts: parts[0])
    assert stock.rows("select count from tables.stock where key = 'a'") == [(2,)]
    assert stock.reads[-1]["key"] is None


def test_a_table_at_a_time_has_the_rows_of_then(stock: MemoryLog) -> None:
    found = stock.rows(f"select key, count, place, seen, tags from tables.stock {at(1.5)} where known order by key")
    assert found == [
        ("a", 1, "x", None, "[]"),
        ("b", 5, None, datetime.fromtimestamp(START / 1000, UTC), '["t"]'),
    ]


def test_a_row_that_only_has_later_records_is_not_known(stock: MemoryLog) -> None:
    found = stock.rows(f"select key, count, known from tables.stock {at(1.5)} order by key")
    assert found[-1] == ("c", None, False)
    assert stock.rows(f"select count(*) from tables.stock {at(3.5)} where known") == [(1,)]


def test_the_change_of_a_table_between_two_times_is_one_statement(stock: MemoryLog) -> None:
    sql = (
        f"select n.key, n.count - o.count from tables.stock as n join tables.stock as o {at(0.5)} using (key) "
        "where n.key = 'a'"
    )
    assert stock.rows(sql) == [("a", 1)]


def test_a_table_is_not_asked_by_offset(stock: MemoryLog) -> None:
    with pytest.raises(SqlRefusedError, match="AT a time"):
        stock.select("select * from tables.stock at (version => 3)")
    with pytest.raises(SqlRefusedError, match=r"the tables are tables\.stock"):
        stock.select("select * from tables.stok")
    with pytest.raises(SqlRefusedError, match="There is no view 'table_stock'"):
        stock.select("select * from table_stock")


def test_views_at_a_time_have_the_records_until_then(log: MemoryLog) -> None:
    assert log.rows(f"select count(*) from events {at(4)}") == [(6,)]  # five, and the foreign one
    assert log.rows(f"select distinct status from runs {at(1)}") == [("started",)]
    assert log.rows(f"select distinct status from runs {at(1)} union select status from runs order by 1") == [
        ("failed",),
        ("started",),
        ("succeeded",),
    ]
    assert log.rows(f"select agent, sum(cost_usd) from calls {at(1)} group by 1 order by 1") == [
        ("research", 1.0),
        ("triage", 1.0),
    ]
    assert log.rows(f"select count(*) from calls {at(0.5)}") == [(0,)]


def test_views_at_an_offset_have_the_records_up_to_it(log: MemoryLog) -> None:
    expected = sum(1 for partition in log.topics["events"] for one in partition if one.offset <= 1)
    assert log.rows("select count(*) from events at (version => 1)") == [(expected,)]
    assert max(log.reads[-1]["end"].values()) <= 2


def test_a_moment_may_be_worked_out(log: MemoryLog) -> None:
    assert log.rows("select count(*) from events at (timestamp => now() - interval 50 year)") == [(0,)]
    assert log.rows(f"select e.key from events as e {at(0)} where e.key = 'k0'") == [("k0",)]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from events at (version => null)",
        "select * from events at (version => -1)",
        "select * from events at (timestamp => 'yesterday')",
        "select * from events at (timestamp => getenv('HOME'))",
        "select * from events at (version => (select count(*) from read_text('/etc/passwd')))",
        "select * from range(1) at (version => 1)",
        "with x as (select 1) select * from x at (version => 1)",
        "select * from events_at_0",
        "select * from call_records_at_0, events at (version => 1)",
        " union all ".join(f"select key from events at (version => {number})" for number in range(10)),
    ],
)
def test_other_moments_are_refused(log: MemoryLog, sql: str) -> None:
    with pytest.raises(SqlRefusedError) as refused:
        log.select(sql)
    assert "\n" not in str(refused.value)
    assert log.reads == []
