"""`streams backtest` and `streams runs diff` from their options to their output and exit code, over a log in memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

import streams.cli.backtests
import streams.cli.log
import streams.cli.run_diff
from streams.app import Catalog
from streams.cli.main import main
from streams.replay.log import ReplayLog
from streams.settings import Settings
from tests.unit.replay import made

COUNT = 8
CHANGED = """
from streams import Run, StepFailed, agent
from tests.unit.replay.made import Verdict, look_up, stamp, summer


@agent
async def asker(text: str, run: Run) -> list[str]:
    ends = "ab" if text == "q3" else "abx"
    found = await run.gather(*[run.tool(look_up, term=text + end) for end in ends], return_exceptions=True)
    stamped = await run.step(stamp)
    async with run.stage("JUDGE"):
        good = [str(one) for one in found if not isinstance(one, StepFailed)]
        verdict = await run.llm("Judge.", good, returns=Verdict)
        again = await run.llm("Say it.", verdict.word)
    return [*map(str, found), stamped, again, await run.call(summer, again), run.now().isoformat()]
"""


@pytest.fixture(scope="module")
def log() -> Any:
    return asyncio.run(made.recorded_with_calls(COUNT))


@pytest.fixture(autouse=True)
def here(log: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Give the commands a log in memory and a state folder of their own."""
    known, calls = log
    settings = Settings(state_dir=tmp_path / "state", llm_base_url="http://127.0.0.1:9/v1")
    found = SimpleNamespace(kafka=None, codec=None, names=None, catalog=Catalog(agents=dict(made.AGENTS)))
    found.settings = settings
    monkeypatch.setattr(streams.cli.log, "open_log", lambda: found)
    monkeypatch.setattr(streams.cli.run_diff, "open_log", lambda: found)
    monkeypatch.setattr(streams.cli.backtests, "submissions_of", lambda *_where: made.submissions(COUNT))
    monkeypatch.setattr(ReplayLog, "runs", lambda _log, _ids, _since: known.runs)
    monkeypatch.setattr(ReplayLog, "calls", lambda _log, _since: iter(calls))
    return found


@pytest.fixture
def changed(tmp_path: Path) -> str:
    file = tmp_path / "new.py"
    file.write_text(CHANGED)
    return str(file)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    return int(ended.value.code or 0)


def test_the_same_code_proves_equal(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("backtest", "asker", "--candidate", "tests.unit.replay.made", "--from", "earliest", "-o", "json")
    assert run(*words, "--gate", "equal>=1 and drift==0 and cost<=baseline") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["runs"] == COUNT
    assert [shown["lanes"][lane]["equal"] for lane in ("baseline", "candidate")] == [COUNT, COUNT]
    assert (shown["differences"], shown["gate"]["passed"], shown["spent_usd"]) == ([], True, 0)


def test_a_gate_that_fails_exits_with_3_and_the_report_shows_why(
    changed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out" / "report.html"
    words = ("backtest", "asker", "--candidate", changed, "--gate", "equal>=0.98", "--report", str(report))
    assert run(*words, "--score", "field:0", "-o", "json") == 3
    shown = json.loads(capsys.readouterr().out)
    assert {one["run_id"] for one in shown["differences"]} == {"run-3"}
    assert set(shown["scores"]["equal"]) >= {"baseline", "candidate", "difference", "low", "high"}
    assert shown["gate"] == {"expression": "equal>=0.98", "passed": False, "reason": None}
    assert "run-3" in report.read_text("utf-8")


def test_the_text_shows_lanes_scores_and_the_gate(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("backtest", "asker", "--candidate", changed, "--gate", "equal>=0.5") == 0
    out, err = capsys.readouterr()
    assert "candidate" in out
    assert "run-3: succeeded" in out
    assert "gate passed: equal>=0.5" in out
    assert f"{COUNT} runs, answered from the log: nothing is paid." in err


def test_a_dry_run_says_what_it_would_do(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("backtest", "asker", "--candidate", changed, "--dry-run", "--models", "hybrid", "--sample", "3")
    assert run(*words, "--budget", "usd=5", "-o", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["estimate"]["runs"], shown["left_out"]) == (3, {"not in the sample": COUNT - 3})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--candidate", "nowhere.py"), 1, "is no Python file"),
        (("--candidate", "tests.unit.replay.made", "--gate", "equl>1"), 1, "there is no 'equl'"),
        (("--candidate", "tests.unit.replay.made", "--runs", "run-99"), 1, "is no run of agent asker"),
        (("--candidate", "tests.unit.replay.made", "--budget", "5"), 2, "is no budget: give one like usd=5"),
        (("--candidate", "tests.unit.replay.made", "--where", "colour == 1"), 1, "there is no 'colour'"),
        (("--candidate", "model=default:large"), 1, "give --models hybrid"),
        ((), 2, "--candidate"),
    ],
)
def test_what_is_wrong_says_what_to_write(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backtest", "asker", *words) == code
    assert message in capsys.readouterr().err


class RunsOnly:
    """A gateway that knows when runs were made."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def read(self, _kind: Any, _path: str) -> Any:
        return SimpleNamespace(created_at="2023-11-14T22:13:20.000Z")


def test_two_runs_are_compared_step_by_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streams.cli.run_diff, "gateway", RunsOnly)
    assert run("runs", "diff", "run-1", "run-2", "-o", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["equal"], shown["first"]["path"]) == (False, "1.0.1")
    assert shown["first"]["a"]["arguments"] == {"term": "q1a"}
    assert shown["input"] == [{"path": "/", "a": "q1", "b": "q2"}]
    assert run("runs", "diff", "run-1", "run-1") == 0
    assert "run-1 and run-1: equal" in capsys.readouterr().out
