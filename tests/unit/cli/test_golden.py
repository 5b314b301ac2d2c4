"""`streams golden add` reads finished runs and writes one file for each, or none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

import streams.cli.log
import streams.cli.pipeline
from streams.cli.commands.golden import add_runs
from streams.contract.runs import RunState
from streams.replay.log import ReplayLog
from streams.testing import GoldenRun
from streams.testing.golden_file import GoldenFileError
from streams.testing.golden_replay import replay_golden
from tests.unit.replay import made


class RunsOnly:
    """A gateway that knows runs."""

    def __init__(self, views: dict[str, dict[str, Any]]) -> None:
        self.views = views

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def read(self, kind: type[RunState], path: str) -> RunState:
        return kind.model_construct(**self.views[path.removeprefix("/runs/")])


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Give what the gateway says of the runs; the log has their journals and calls."""
    known, calls = asyncio.run(made.recorded_with_calls(2))
    created = {"status": "succeeded", "created_at": "2023-11-14T22:13:20.000Z", "forked_from": None}
    views = {run: dict(created) for run in known.runs}
    here = SimpleNamespace(kafka=None, codec=None, names=None, catalog=None)
    monkeypatch.setattr(streams.cli.pipeline, "gateway", lambda: RunsOnly(views))
    monkeypatch.setattr(streams.cli.log, "open_log", lambda: here)

    def family(log: ReplayLog, run_ids: list[str], since_ms: int) -> Any:
        [run] = run_ids
        return {name: one for name, one in known.runs.items() if name in {run, *known.runs[run].children()}}

    monkeypatch.setattr(ReplayLog, "runs", family)
    monkeypatch.setattr(ReplayLog, "calls", lambda log, since_ms: iter(calls))
    return views


def test_each_run_is_a_file_that_runs(
    views: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_runs(["run-0", "run-1", "run-0"], tmp_path / "golden")
    files = sorted((tmp_path / "golden").iterdir())
    assert [file.name for file in files] == ["asker-run-0.golden.json", "asker-run-1.golden.json"]
    assert [replay_golden(GoldenRun.read(file), made.AGENTS).difference for file in files] == [None, None]
    assert capsys.readouterr().out.splitlines()[0].endswith("3 model calls")


def test_nothing_is_written_if_one_has_not_ended(views: dict[str, Any], tmp_path: Path) -> None:
    views["run-1"]["status"] = "running"
    with pytest.raises(GoldenFileError, match="run run-1 is running"):
        add_runs(["run-0", "run-1"], tmp_path / "golden")
    assert not (tmp_path / "golden").exists()
