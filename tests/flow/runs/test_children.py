"""Calls, parallel work and the canvas words, nested, with partial failure said plainly."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from schemas.run import RunSubmitted
from streams import ChildFailed, RetryPolicy, Run, TimedOut, agent, batch, chain, chord, group, minutes
from streams.engine.fork import fork_records
from streams.engine.messages import ForkAsked
from streams.testing import Harness, Outcome, run_agent


class Number(BaseModel):
    n: int


@agent
async def add_one(number: Number, run: Run) -> int:
    return await run.step(lambda n: n + 1, number.n, name="add")


@agent
async def double(number: Number, run: Run) -> int:
    await run.sleep(10 * number.n)
    return number.n * 2


@agent
async def refuse(number: Number, run: Run) -> int:
    raise ValueError(f"not {number.n}")


@agent
async def total(numbers: list[int], run: Run) -> int:
    return sum(numbers)


class Merged(BaseModel):
    total: int
    successful: int
    failed: int
    results: list[Any]


@agent
async def merge(outcome: Merged, run: Run) -> list[Any]:
    return [outcome.total, outcome.successful, outcome.failed, outcome.results]


@agent
async def canvas(word: str, run: Run) -> Any:
    return await run.call(CANVAS[word])


def n(value: int) -> Number:
    return Number(n=value)


FAILED = {"type": "ValueError", "message": "refuse failed: not 5", "name": "refuse"}
CANVAS: dict[str, Any] = {
    "chain": chain(add_one.bind(n(1)), add_one, double),
    "group": group(add_one.bind(n(1)), double.bind(n(2))),
    "empty group": group(),
    "empty chord": chord(group(), merge),
    "chord": chord(group(add_one.bind(n(1)), refuse.bind(n(5))), merge),
    "chain of groups": chain(group(add_one.bind(n(1)), add_one.bind(n(2))), total, double),
    "group of chains": group(chain(add_one.bind(n(1)), double), chain(add_one.bind(n(3)), add_one)),
    "chord of chords": chord(
        group(chord(group(add_one.bind(n(1))), merge), chord(group(add_one.bind(n(2)), add_one.bind(n(3))), merge)),
        merge,
    ),
    "chain with a failing member": chain(add_one.bind(n(4)), refuse, double),
    "chord in a chain": chain(chord(group(add_one.bind(n(1))), merge), total.bind([1, 2])),
    "batch": batch([1, 2, 3, 4, 5], 2, total),
}
EXPECTED: dict[str, Any] = {
    "chain": 6,
    "group": [2, 4],
    "empty group": [],
    "empty chord": [0, 0, 0, []],
    "chain of groups": 10,
    "group of chains": [4, 5],
    "chord of chords": [2, 2, 0, [[1, 1, 0, [2]], [2, 2, 0, [3, 4]]]],
    "chord in a chain": 3,
    "batch": [3, 7, 5],
}
AGENTS = (add_one, double, refuse, total, merge)


def carried_out(word: str, **options: Any) -> Outcome:
    harness = Harness(canvas, *AGENTS, **options)
    run_id = harness.submit(canvas, word)
    harness.run()
    return harness.outcome(run_id)


@pytest.mark.parametrize("evict", [False, True])
@pytest.mark.parametrize("word", EXPECTED)
def test_canvas(word: str, evict: bool) -> None:
    assert carried_out(word, evict=evict).value() == EXPECTED[word]


def test_an_error_in_a_chords_member_reaches_the_callback_in_its_place() -> None:
    total_, successful, failed, results = carried_out("chord").value()
    assert (total_, successful, failed) == (2, 1, 1)
    assert results[0] == 2
    error = results[1]["error"]
    assert FAILED.items() <= error.items()
    assert error["run_id"]


def test_a_failing_member_ends_its_chain() -> None:
    ended = carried_out("chain with a failing member")
    assert ended.status == "failed"
    assert "not 5" in ended.error["message"]


def test_a_call_is_a_child_run_with_its_parent_and_the_parent_knows_it() -> None:
    harness = Harness(canvas, *AGENTS)
    run_id = harness.submit(canvas, "group")
    harness.settle()
    parent = harness.outcome(run_id).view
    assert parent["status"] == "waiting"
    assert len(parent["children"]) == 2
    for child in parent["children"]:
        assert harness.outcome(child).view["parent"] == run_id


def test_a_child_that_takes_too_long_is_cancelled() -> None:
    @agent
    async def impatient(run: Run) -> str:
        try:
            await run.call(double, n(100), timeout=minutes(1))
        except TimedOut:
            return "did not wait"
        return "waited"

    harness = Harness(impatient, double)
    run_id = harness.submit(impatient)
    harness.run()
    assert harness.outcome(run_id).value() == "did not wait"
    (child,) = harness.outcome(run_id).view["children"]
    assert harness.status(child) == "cancelled"


def test_gather_returns_errors_in_their_places_when_asked() -> None:
    @agent
    async def careful(run: Run) -> list[str]:
        found = await run.gather(run.call(refuse, n(5)), run.call(add_one, n(1)), return_exceptions=True)
        return [type(one).__name__ if isinstance(one, ChildFailed) else str(one) for one in found]

    assert run_agent(careful).value() == ["ChildFailed", "2"]


def test_started_runs_go_on_without_their_starter() -> None:
    @agent
    async def starter(run: Run) -> str:
        return await run.start(double, n(3))

    harness = Harness(starter)
    run_id = harness.submit(starter)
    harness.settle()
    child = harness.outcome(run_id).value()
    assert harness.status(child) == "waiting"
    harness.run()
    assert harness.outcome(child).value() == 6


def test_children_inherit_deadline_and_priority() -> None:
    harness = Harness(canvas, *AGENTS)
    harness.submit(canvas, "group", priority="high", deadline_ms=harness.now_ms + 5_000)
    harness.settle()
    submitted = harness.records("agents")
    assert {event.priority for event in submitted} == {"high"}  # type: ignore[attr-defined]
    assert {event.deadline_ms for event in submitted} == {harness.now_ms + 5_000}  # type: ignore[attr-defined]


def test_an_input_that_does_not_fit_fails_at_the_call_and_names_the_field() -> None:
    @agent
    async def wrong(run: Run) -> int:
        return await run.call(add_one, {"n": "many"})

    ended = run_agent(wrong)
    assert ended.error["type"] == "ValidationError"
    assert "n" in ended.error["message"]


def test_ten_thousand_children_of_one_parent_stay_linear() -> None:
    @agent
    async def quick(number: int) -> int:
        return number

    @agent
    async def many(count: int, run: Run) -> int:
        return len(await run.call(group(quick.bind(i) for i in range(count))))

    harness = Harness(many, quick)
    run_id = harness.submit(many, 10_000)
    harness.run()
    assert harness.outcome(run_id).value() == 10_000
    per_child = len(harness.entries(run_id)) / 10_000
    assert per_child < 1.01, "one key for each child, and a handful for the run"


def test_plain_functions_are_callbacks_too() -> None:
    @agent
    async def job(run: Run) -> Any:
        return await run.call(batch(["a", "b", "c"], 2, join))

    assert run_agent(job).value() == ["ab", "c"]


def join(parts: list[str]) -> str:
    return "".join(parts)


def test_nested_resume_lets_the_failed_child_go_on_instead_of_starting_it_anew() -> None:
    down = [True]
    done: list[str] = []

    def first() -> str:
        done.append("first")
        return "first"

    def second() -> str:
        if down[0]:
            raise ConnectionError("down")
        done.append("second")
        return "second"

    once = RetryPolicy(attempts=1)

    @agent
    async def inner(run: Run) -> list[str]:
        return [await run.step(first), await run.step(second, retry=once)]

    @agent
    async def outer(run: Run) -> list[str]:
        before = await run.step(first)
        return [before, *(await run.call(inner))]

    for evict in (False, True):
        down[0], done[:] = True, []
        harness = Harness(outer, evict=evict)
        run_id = harness.submit(outer)
        harness.run()
        assert harness.status(run_id) == "failed"
        down[0] = False
        harness.resume(run_id)
        harness.run()
        assert harness.outcome(run_id).value() == ["first", "first", "second"]
        assert done == ["first", "first", "second"], "no finished work is done again"
        assert len(harness.run_ids) == 2


def test_a_canvas_can_be_given_as_json_by_name() -> None:
    from streams.agents.canvas import canvas as by_json

    work = {
        "chain": [
            {"group": [{"agent": "add_one", "input": {"n": 1}}, {"agent": "add_one", "input": {"n": 2}}]},
            "total",
        ]
    }
    harness = Harness(by_json, *AGENTS)
    run_id = harness.submit(by_json, work)
    wrong = harness.submit(by_json, {"chain": ["nobody"]})
    harness.run()
    assert harness.outcome(run_id).value() == 5
    assert "no agent is called 'nobody'" in harness.outcome(wrong).error["message"]


@agent
async def delegate(task: Number, run: Run) -> int:
    await run.start(add_one, task)
    return await run.call(add_one, task)


def test_who_started_a_run_has_started_its_children_and_who_forks_it_starts_the_fork() -> None:
    harness = Harness()
    run_id = harness.submit(delegate, {"n": 1}, caller="0123456789abcdef")
    harness.run()
    assert len(harness.run_ids) == 3
    assert {harness.outcome(run).view["started_by"] for run in harness.run_ids} == {"0123456789abcdef"}
    for caller in ("fedcba9876543210", None):
        [submission] = fork_records(harness.entries(run_id), ForkAsked("fork", "1", caller=caller))
        assert isinstance(submission, RunSubmitted)
        assert submission.caller == caller
