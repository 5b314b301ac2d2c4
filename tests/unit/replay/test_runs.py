"""Calls are answered from recordings by everything that determines their answer, and by nothing less."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import pytest

from streams import Run, agent
from streams.replay.errors import OutsideError
from streams.replay.runs import LoggedRuns, roots
from tests.unit.replay import made
from tests.unit.replay.made import Verdict, look_up


@pytest.fixture(scope="module")
def known() -> LoggedRuns:
    return asyncio.run(made.recorded(20))


def changed(prompt: str = "Judge.", **params: Any) -> Any:
    """Return the agent with another prompt, or other parameters, for its first question."""

    @agent(version=2)
    async def asker(text: str, run: Run) -> Any:
        found = await run.gather(*[run.tool(look_up, term=text + end) for end in "ab"])
        return await run.llm(prompt, found, returns=Verdict, **params)

    return asker


def test_everything_is_answered_and_ends_as_it_did(known: LoggedRuns) -> None:
    pairs = made.run(known, count=20)
    reports = [report for found, _ in pairs for report in found]
    assert len(reports) == 40
    assert all(report.equal for report in reports)
    assert made.calls == []
    assert sum(report.recorded for report in reports) == 20 * 8
    assert [output.to for _, world in pairs for _, output in world.outputs if output.to == "calls"] == []


def test_answers_go_to_the_step_that_got_them(known: LoggedRuns) -> None:
    """Every run asked the same tools nothing twice, but the model its own question; the result has all of it."""
    results = [
        world.machines[f"run-{number}"].view().result for number, (_, world) in enumerate(made.run(known, count=20))
    ]
    assert results == [known.runs[f"run-{number}"].view.result for number in range(20)]
    assert len({result[4] for result in results}) == 20


def test_the_same_question_elsewhere_is_answered(known: LoggedRuns) -> None:
    [(reports, world)] = made.run(known, {**made.AGENTS, "asker": changed()})
    assert world.misses == []
    assert reports[0].replayed == "succeeded"
    assert world.machines["run-0"].view().result == known.runs["run-0"].entry("4").output  # type: ignore[union-attr]


@pytest.mark.parametrize("edited", [changed("Judge harder."), changed(temperature=0.5)], ids=["prompt", "parameter"])
def test_an_edited_question_is_a_miss(known: LoggedRuns, edited: Any) -> None:
    [(reports, world)] = made.run(known, {**made.AGENTS, "asker": edited})
    assert [(miss.path, miss.kind, miss.name) for miss in world.misses] == [("2", "llm", "Verdict")]
    assert (reports[0].replayed, reports[0].equal, reports[0].made) == ("unanswered", False, 0)


def test_a_miss_is_made_in_hybrid_and_only_that(known: LoggedRuns) -> None:
    outside = made.model()
    [(reports, world)] = made.run(
        known, {**made.AGENTS, "asker": changed("Judge harder.")}, mode="hybrid", model=lambda: outside
    )
    assert (world.misses, reports[0].recorded, reports[0].made, len(outside.requests)) == ([], 2, 1, 1)
    assert [output.event.kind for _, output in world.outputs if output.to == "calls"] == ["llm"]
    assert made.calls == []


def test_live_asks_for_everything(known: LoggedRuns) -> None:
    outside = made.model()
    [(reports, _)] = made.run(known, mode="live", model=lambda: outside)
    assert [report.recorded for report in reports] == [0, 0]
    assert len(outside.requests) == 3
    assert sorted(made.calls) == ["q0a", "q0b", "q0x", "q0x", "stamp"]
    made.calls.clear()


def test_with_a_models_name_only_its_own_answers_count() -> None:
    ours, other = asyncio.run(made.recorded(name="scripted")), asyncio.run(made.recorded(name="another"))
    assert [world.misses for _, world in made.run(ours)] == [[]]
    [(reports, world)] = made.run(other)
    assert [miss.kind for miss in world.misses] == ["llm"]
    assert {report.replayed for report in reports} == {"unanswered"}


def test_another_agent_behind_the_same_name_differs_and_says_where(known: LoggedRuns) -> None:
    @agent
    async def asker(text: str) -> str:
        return text

    [(reports, _)] = made.run(known, {"asker": asker})
    assert reports[0].equal is False
    assert [one["at"] for one in reports[0].differences] == ["/result"]


def test_a_child_whose_agent_is_gone_answers_as_it_did(known: LoggedRuns) -> None:
    [(reports, world)] = made.run(known, {"asker": made.asker})
    assert (world.misses, [report.equal for report in reports]) == ([], [True])


def test_the_outside_is_walled_off(known: LoggedRuns) -> None:
    """Code between two steps, where nothing should reach out, cannot."""

    @agent
    async def asker(text: str) -> str:
        with socket.socket() as open_socket:
            open_socket.connect(("127.0.0.1", 9))
        return text

    [(reports, world)] = made.run(known, {"asker": asker})
    assert reports[0].replayed == "failed"
    assert world.machines["run-0"].view().error["type"] == OutsideError.__name__
    with socket.socket() as free, pytest.raises(ConnectionRefusedError):
        free.connect(("127.0.0.1", 9))


def test_runs_under_way_and_repeated_submissions_are_left_out(known: LoggedRuns) -> None:
    given = made.submissions(3)
    under_way = known.runs["run-1"].entries[:4]
    runs = {**known.runs, "run-1": type(known.runs["run-1"])(under_way)}
    tops, left = roots([*given, given[0]], runs)
    assert [top.event.run_id for top in tops] == ["run-0", "run-2"]
    assert left == {"submitted again": 1, "still under way": 1}
    child = given[2].event.model_copy(update={"run_id": "child", "parent": "run-0", "parent_path": "9"})
    tops, left = roots([*given[:1], type(given[0])(child, 5)], runs)
    assert ([top.event.run_id for top in tops], left) == (["run-0"], {"run again with their parent": 1})


def test_nothing_is_answered_where_nothing_is_recorded() -> None:
    pairs = made.run(LoggedRuns())
    assert {miss.kind for miss in itertools.chain(*(world.misses for _, world in pairs))} == {"tool"}


def test_a_tools_answer_that_another_run_paid_for_is_in_the_journal() -> None:
    """Shared answers are recorded once, perhaps long before; the run that got one has it in its journal."""
    [(reports, world)] = made.run(asyncio.run(made.recorded(kinds="llm")))
    assert (world.misses, {report.equal for report in reports}) == ([], {True})
