"""Every command explains itself, every error is one line on stderr, and the exit code says whose fault it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.cli.main import main

pytestmark = pytest.mark.unit

Said = tuple[int, str, str]
Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in an empty folder without settings."""
    import os

    for name in os.environ:
        if name.startswith(("STREAMS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMS_GATEWAY_PORT", "1")  # nothing listens there

    def call(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


GROUPS = ["demo", "dev", "worker", "gateway", "doctor", "settings", "produce", "run"]
COMMANDS = {
    "topics": ["list", "plan", "apply", "tail"],
    "schemas": ["list", "publish", "check"],
    "runs": ["list", "show", "follow", "result", "cancel", "resume", "signal", "fork"],
    "tables": ["list", "get", "scan"],
    "dead": ["list", "show", "redrive", "discard"],
    "workers": ["list"],
    "agents": ["list", "pause", "resume"],
    "schedules": ["list", "pause", "resume", "trigger", "backfill"],
    "new": ["agent", "tool", "source", "reaction", "table"],
}
ALL = [[name] for name in GROUPS] + [[group, name] for group, names in COMMANDS.items() for name in names]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_explains_itself(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Usage: streams" in out


@pytest.mark.parametrize(
    "command",
    [
        ["bogus"],
        ["runs", "bogus"],
        ["runs", "show"],
        ["runs", "list", "--limit", "none"],
        ["runs", "list", "-o", "xml"],
        ["runs", "fork", "r1"],
        ["dead", "redrive"],
        ["dead", "redrive", "d1", "--fingerprint", "f"],
        ["dead", "redrive", "d1", "d2", "--edit", "{}"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_one_line(run: Run, command: list[str]) -> None:
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "--help" in err


@pytest.mark.parametrize(
    "command",
    [
        ["runs", "list"],
        ["runs", "show", "r1"],
        ["runs", "result", "r1"],
        ["runs", "follow", "r1"],
        ["tables", "get", "tickets", "k"],
        ["tables", "scan", "tickets"],
        ["tables", "list"],
        ["workers", "list"],
        ["agents", "list"],
        ["run", "triage", "--input", "{}"],
        ["topics", "list"],
        ["topics", "tail", "events"],
        ["dead", "list"],
        ["dead", "redrive", "d1"],
        ["dead", "redrive", "--fingerprint", "f"],
        ["dead", "discard", "d1"],
        ["worker"],
        ["gateway"],
    ],
    ids=" ".join,
)
def test_without_a_pipeline_it_says_how_to_start_one(run: Run, command: list[str]) -> None:
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "streams dev" in err


def test_json_that_is_none_is_shown(run: Run) -> None:
    code, _, err = run("run", "triage", "--input", '{"a": ')
    assert code == 1
    assert "not JSON" in err


def test_wrong_settings_are_a_line_each(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITIONS", "many")
    monkeypatch.setenv("STREAMS_GATEWAYPORT", "1")
    code, _, err = run("settings")
    assert code == 1
    assert [line.split()[1] for line in err.splitlines()] == ["STREAMS_GATEWAYPORT", "STREAMS_PARTITIONS"]


def test_settings_are_printed_as_json(run: Run) -> None:
    import orjson

    code, out, _ = run("settings", "-o", "json")
    rows: list[dict[str, Any]] = orjson.loads(out)
    assert code == 0
    assert {"name": "STREAMS_GATEWAY_PORT", "value": "1", "default": "8000", "source": "environment"}.items() <= next(
        row for row in rows if row["name"] == "STREAMS_GATEWAY_PORT"
    ).items()


def test_a_bug_is_a_line_and_a_traceback_only_with_debug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        message = "two\nlines"
        raise KeyError(message)

    monkeypatch.setattr("streams.settings.load", broken)
    code, _, err = run("settings")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "--debug" in err
    with pytest.raises(KeyError):
        main(["--debug", "settings"])


def test_debug_may_stand_anywhere() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["settings", "--debug", "--help"])
    assert ended.value.code == 0
