"""Each view has the rows and columns that its page describes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from streams.query.sql.avro import AvroColumns
from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.render import FORMATS
from streams.query.sql.views import VIEWS
from tests.unit.query.sql._log import START, MemoryLog


def test_costs_are_added_up_by_the_agent_of_the_run(log: MemoryLog) -> None:
    found = log.rows("select agent, sum(cost_usd) from calls group by 1 order by 1")
    assert found == [("research", 1.0), ("triage", 1.0)]


def test_a_run_is_one_row_with_its_last_status(log: MemoryLog) -> None:
    found = log.rows("select run_id, status, agent, cost_usd, ended - started from runs order by 1")
    assert [row[:4] for row in found] == [
        ("r0", "succeeded", "research", 0.5),
        ("r1", "succeeded", "triage", 0.5),
        ("r2", "succeeded", "research", 0.5),
        ("r3", "failed", "triage", None),
    ]
    assert log.rows("select count(*) from run_events") == [(8,)]


def test_a_step_is_one_row_with_the_agent_of_its_run(log: MemoryLog) -> None:
    found = log.rows("select run_id, agent, name, status from steps order by 1")
    assert found[0] == ("r0", "research", "look_up", "completed")
    assert len(found) == 4


def test_a_dead_letter_has_what_became_of_it(log: MemoryLog) -> None:
    assert log.rows("select dead_id, status from dead_letters order by 1") == [("d0", "open"), ("d1", "discarded")]


def test_data_is_json_and_foreign_records_have_none(log: MemoryLog) -> None:
    found = log.rows(
        "select data->>'$.source', (data->'$.data.number')::int from events where type is not null order by 2"
    )
    assert found[:2] == [("n0", 0), ("n1", 1)]
    assert log.rows("select key, data from events where type is null") == [("foreign", None)]


def test_times_are_times_in_utc(log: MemoryLog) -> None:
    assert log.rows("select slot from ticks") == [(datetime.fromtimestamp(START / 1000, UTC),)]
    found = log.select("select max(finished - started) as t from calls")
    assert orjson.loads(FORMATS["json"](found)) == [{"t": 0.25}]
    assert FORMATS["csv"](found).decode().splitlines()[1] == "0.25"
    assert FORMATS["parquet"](found).startswith(b"PAR1")


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_can_be_selected_whole(log: MemoryLog, view: str) -> None:
    assert log.select(f"select * from {view}").table.num_rows > 0


def test_a_view_can_be_joined_with_itself(log: MemoryLog) -> None:
    assert log.rows('select count(*) from events a join events b using (topic, partition, "offset")') == [(11,)]
    assert log.rows("with e as (from events) select count(*) from e, e as f where e.key = f.key") == [(11,)]


def test_only_wanted_members_are_decoded(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []

    def noted(self: AvroColumns, schema: dict[str, Any], members: Collection[str]) -> None:
        asked.append(frozenset(members))
        make(self, schema, members)

    make = AvroColumns.__init__
    monkeypatch.setattr(AvroColumns, "__init__", noted)
    assert log.rows("select count(*), count(distinct key) from events") == [(11, 11)]
    assert log.rows("select count(*) from calls where type = 'call.recorded'") == [(4,)]
    assert asked == []
    assert log.rows("select sum(cost_usd) from calls where name = 'm'") == [(2.0,)]
    assert asked == [frozenset({"name", "usage.cost_usd"})]


def test_bounds_reach_the_reader(log: MemoryLog) -> None:
    log.rows("select count(*) from events where key = 'k3'")
    assert log.reads[-1]["key"] == "k3"
    log.rows('select count(*) from events where "partition" = 1 and "offset" >= 1 and "offset" < 3')
    assert log.reads[-1]["partitions"] == [1]
    assert log.reads[-1]["start"] == {1: 1}
    assert max(log.reads[-1]["end"].values()) <= 4
    log.rows("select * from runs where run_id = 'r1'")
    assert log.reads[-1]["key"] == "r1"


def test_a_time_chooses_where_the_read_begins_and_rows_are_exact(log: MemoryLog) -> None:
    moment = datetime.fromtimestamp(START / 1000 + 5, UTC).isoformat()
    found = log.select(f"select key from events where time >= TIMESTAMPTZ '{moment}' order by key")
    assert found.table.column(0).to_pylist() == ["k5", "k6", "k7", "k8", "k9"]
    assert found.records < 11


def test_two_scans_with_different_bounds_read_what_both_need(log: MemoryLog) -> None:
    sql = "select (select count(*) from events where key = 'k1'), (select count(*) from events where key = 'k2')"
    assert log.rows(sql) == [(1, 1)]
    assert log.rows("select count(*) from events where key = 'k1' or key = 'k2'") == [(2,)]


def test_rows_and_bytes_are_bounded(log: MemoryLog) -> None:
    found = log.select("select * from range(100)", SqlLimits(rows=10))
    assert (found.table.num_rows, found.truncated) == (10, True)
    with pytest.raises(SqlLimitError, match="read more than 0 MiB"):
        log.select("select data from events", SqlLimits(read_mib=0))
    with pytest.raises(SqlLimitError, match="larger than 1 MiB"):
        log.select("select repeat('x', 100000) || range from range(1000)", SqlLimits(result_mib=1))


def test_a_name_that_does_not_exist_says_which_there_are(log: MemoryLog) -> None:
    with pytest.raises(SqlRefusedError, match="the views are events, runs"):
        log.select("select * from evnts")
    with pytest.raises(SqlRefusedError, match="cost"):
        log.select("select costs_usd from calls")


def test_results_have_four_forms(log: MemoryLog) -> None:
    found = log.select("select agent, sum(input_tokens) as tokens from calls group by 1 order by 1")
    assert orjson.loads(FORMATS["json"](found)) == [
        {"agent": "research", "tokens": 20},
        {"agent": "triage", "tokens": 20},
    ]
    assert orjson.loads(FORMATS["answer"](found))["rows"] == [["research", 20], ["triage", 20]]
    assert FORMATS["csv"](found).decode().splitlines()[0] == '"agent","tokens"'
    assert FORMATS["parquet"](found).startswith(b"PAR1")
