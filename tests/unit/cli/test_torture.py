"""`streams torture` takes its runs from files, the log or an input, and fails when something is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cli.main import main
from streams.testing import GoldenRun, Harness
from tests.unit.testing import wrong_agents


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMS_APPS", "tests.unit.testing.wrong_agents")


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["torture", *arguments])
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


def golden_of(run_id: str = "run-7") -> GoldenRun:
    harness = Harness(wrong_agents.retry)
    harness.submit(wrong_agents.retry, 7, run_id=run_id)
    harness.run()
    return GoldenRun.of(run_id, {run_id: harness.entries(run_id)})


def test_an_input_is_executed_and_the_finding_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "clock", "--input", "7")
    assert code == 3
    assert "nondeterminism: datetime.now() decides what a replay does" in out
    assert "use run.now()" in out


def test_golden_runs_of_the_agent_are_found_in_their_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    golden_of().write(tmp_path / "tests" / "golden" / "one.golden.json")
    code, out, _ = called(capsys, "retry", "-o", "json")
    [report] = json.loads(out)
    assert (code, report["run_id"], report["passed"]) == (3, "run-7", False)
    assert report["findings"][0]["kind"] == "retry-under-new-key"


def test_wrong_use_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    golden_of().write(tmp_path / "one.golden.json")
    code, _, err = called(capsys, "clock", "--golden", "one.golden.json")
    assert (code, err.count("\n")) == (1, 1)
    assert "run run-7 is of agent retry" in err
    assert "`streams golden add RUN`" in called(capsys, "clock")[2]
    assert "--input is no JSON" in called(capsys, "clock", "--input", "{")[2]
    assert "give one of --input" in called(capsys, "clock", "--input", "1", "--runs", "a")[2]
    assert "no agent is called 'nobody'" in called(capsys, "nobody", "--input", "1")[2]
