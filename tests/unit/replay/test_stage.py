"""One stage of one run again: what was before it is given, what it asks is answered, what it came to is the same."""

from __future__ import annotations

import asyncio

import pytest

from streams import Run, agent
from streams.replay.errors import ReplayError
from streams.replay.recordings import Recordings
from streams.replay.runs import LoggedRuns
from streams.replay.stage import StageReport, replay_stage
from tests.unit.replay import made
from tests.unit.replay.made import Verdict


@pytest.fixture(scope="module")
def known() -> LoggedRuns:
    return asyncio.run(made.recorded(2))


def again(known: LoggedRuns, stage: str, run_id: str = "run-1") -> StageReport:
    return asyncio.run(replay_stage(made.AGENTS, known, run_id, stage))


def test_a_stage_comes_to_the_same_without_a_call(known: LoggedRuns) -> None:
    report = again(known, "JUDGE")
    assert report.equal, report
    assert [(step.kind, step.name) for step in report.steps] == [("llm", "Verdict"), ("llm", "text")]
    assert (report.recorded, report.made, made.calls) == (2, 0, [])
    assert report.to_json()["steps"][0]["replayed"]["output"] == known.runs["run-1"].entry("4").output  # type: ignore[union-attr]


@pytest.mark.parametrize("step", ["stamp", "2", "1.2.1", "text"])
def test_a_step_is_found_by_name_or_path(known: LoggedRuns, step: str) -> None:
    report = again(known, step)
    assert report.equal, report
    assert len(report.steps) == 1


def test_an_unknown_stage_names_those_that_there_are(known: LoggedRuns) -> None:
    with pytest.raises(ReplayError, match="JUDGE"):
        again(known, "NOTHING")


def test_a_stage_without_recordings_is_not_equal(known: LoggedRuns) -> None:
    report = again(LoggedRuns(known.runs, Recordings()), "JUDGE")
    assert not report.equal
    assert [miss.kind for miss in report.misses] == ["llm"]


def test_code_that_no_longer_fits_what_came_before_says_so(known: LoggedRuns) -> None:
    @agent
    async def asker(text: str, run: Run) -> Verdict:
        async with run.stage("JUDGE"):
            return await run.llm("Judge.", text, returns=Verdict)

    report = asyncio.run(replay_stage({"asker": asker}, known, "run-1", "JUDGE"))
    assert not report.equal
    assert "journal" in str(report.error)
