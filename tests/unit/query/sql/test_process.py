"""A statement runs in a process that its deadline ends."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys

import pytest

from streams.query.sql import child
from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings

SETTINGS = Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=())

ENDLESS = "with recursive t(a) as (select 1 union all select a + 1 from t) select max(a) from t"


def test_settings_reach_the_process() -> None:
    assert pickle.loads(pickle.dumps(SETTINGS)).kafka().bootstrap_servers == "127.0.0.1:9"


async def test_a_log_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(SqlUnavailableError):
        await SqlProcesses(SETTINGS).run("select count(*) from events", SqlLimits(), "json")


@pytest.mark.parametrize("code", [1, -9])
async def test_a_process_that_ends_otherwise_is_an_error(code: int) -> None:
    from streams.query.sql.process import _output

    with pytest.raises(SqlLimitError, match=str(code)):
        _output(b"", code, SqlLimits())


async def test_a_statement_without_end_is_ended() -> None:
    with pytest.raises(SqlLimitError, match="more than 2 s"):
        await SqlProcesses(SETTINGS).run(ENDLESS, SqlLimits(seconds=2), "json")


async def test_the_process_returns_rows() -> None:
    found = await SqlProcesses(SETTINGS).run("select 1 as a", SqlLimits(), "csv")
    assert found.body == b'"a"\n1\n'


async def test_cancelling_ends_the_process() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await SqlProcesses(SETTINGS).run(ENDLESS, SqlLimits(), "json")


def test_errors_are_those_of_the_process() -> None:
    import json

    from streams.query.sql.process import _output

    head = json.dumps({"error": "SqlRefusedError", "message": "no"}).encode()
    with pytest.raises(SqlRefusedError, match="no"):
        _output(len(head).to_bytes(4, "big") + head, 0, SqlLimits())


def test_without_the_extra_a_statement_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("duckdb", "pyarrow", "numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("streams.query.sql.")]:
        if name.rpartition(".")[2] in ("query", "render", "rows", "scan", "statement", "plan", "avro"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(child, "bound", lambda _: None)
    head, body = child.outcome("select 1", SETTINGS, SqlLimits(), "json")
    assert head["error"] == "SqlUnavailableError"
    assert head["message"].endswith("type: pip install 'streams[sql]'")
    assert body == b""


def test_without_the_extra_the_gateway_and_the_command_are_imported() -> None:
    code = (
        "import sys; sys.modules.update(duckdb=None, pyarrow=None, numpy=None)\n"
        "import streams.gateway.serve, streams.cli.commands.sql, streams.query.sql.process, streams.query.sql.child"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
