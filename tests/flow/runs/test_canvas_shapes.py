"""Shapes that task queues keep tests for, by their names there: nesting, single members, errors at each place."""

from __future__ import annotations

from typing import Any

import pytest

from streams import Run, agent, batch, chain, chord, group
from streams.testing import Harness, Outcome
from tests.flow.runs.test_children import AGENTS, add_one, merge, n, refuse, total


@agent
async def first(results: list[Any], run: Run) -> Any:
    return results[0]


@agent
async def shapes(word: str, run: Run) -> Any:
    return await run.call(SHAPES[word])


@agent
async def stands_alone(number: int, run: Run) -> int:
    await run.sleep(5)
    return await run.step(lambda: number, name="late")


@agent
async def starts_and_waits(number: int, run: Run) -> str:
    started = await run.start(stands_alone, number)
    await run.wait_for("nothing")
    return started


@agent
async def meets(number: int, run: Run) -> list[int]:
    """Each branch waits for a signal that the other one's answer brings: only branches side by side end."""

    async def left() -> int:
        await run.wait_for("right is there")
        return await run.step(lambda: number, name="left")

    async def right() -> int:
        return await run.step(lambda: number + 1, name="right")

    return await run.gather(left(), right())


SHAPES: dict[str, Any] = {
    "group of one": group(add_one.bind(n(1))),
    "chord of one": chord(group(add_one.bind(n(1))), merge),
    "chain of one": chain(add_one.bind(n(1))),
    "group of groups": group(group(add_one.bind(n(1)), add_one.bind(n(2))), group(add_one.bind(n(3)))),
    "group in the middle of a chain": chain(add_one.bind(n(1)), group(add_one, add_one), total),
    "two groups in a row": chain(group(add_one.bind(n(1)), add_one.bind(n(2))), first, group(add_one, add_one)),
    "chain of chords": chain(chord(group(add_one.bind(n(1))), merge), chord(group(add_one.bind(n(5))), merge)),
    "chord whose members are chains": chord(group(chain(add_one.bind(n(1)), add_one), add_one.bind(n(7))), merge),
    "chord with a chain as callback": chord(group(add_one.bind(n(1))), chain(merge, first, add_one)),
    "chord in a group": group(chord(group(add_one.bind(n(1))), merge), add_one.bind(n(1))),
    "chord whose members all fail": chord(group(refuse.bind(n(1)), refuse.bind(n(2))), merge),
    "group with a failing member": group(add_one.bind(n(1)), refuse.bind(n(2))),
    "chord whose callback fails": chord(group(add_one.bind(n(1))), refuse.bind(n(9))),
    "chain that fails in a chord": chord(group(chain(add_one.bind(n(1)), refuse, add_one), add_one.bind(n(1))), merge),
    "batch of calls": batch([add_one.bind(n(number)) for number in range(5)], 2, merge),
    "empty batch": batch([], 3, total),
}
VALUES: dict[str, Any] = {
    "group of one": [2],
    "chord of one": [1, 1, 0, [2]],
    "chain of one": 2,
    "group of groups": [[2, 3], [4]],
    "group in the middle of a chain": 6,
    "two groups in a row": [3, 3],
    "chain of chords": [1, 1, 0, [6]],
    "chord whose members are chains": [2, 2, 0, [3, 8]],
    "chord with a chain as callback": 2,
    "chord in a group": [[1, 1, 0, [2]], 2],
    "batch of calls": [[2, 2, 0, [1, 2]], [2, 2, 0, [3, 4]], [1, 1, 0, [5]]],
    "empty batch": [],
}


def carried_out(word: str, **options: Any) -> Outcome:
    harness = Harness(shapes, first, *AGENTS, **options)
    run_id = harness.submit(shapes, word)
    harness.run()
    return harness.outcome(run_id)


@pytest.mark.parametrize("parted", [False, True])
@pytest.mark.parametrize("word", VALUES)
def test_shape(word: str, parted: bool) -> None:
    assert carried_out(word, parted=parted).value() == VALUES[word]


@pytest.mark.parametrize("word", ["group with a failing member", "chord whose callback fails"])
def test_an_error_that_nobody_takes_fails_the_run_and_names_the_member(word: str) -> None:
    ended = carried_out(word)
    assert ended.status == "failed"
    assert "refuse failed: not" in ended.error["message"]


@pytest.mark.parametrize(
    ("word", "counts"), [("chord whose members all fail", [2, 0, 2]), ("chain that fails in a chord", [2, 1, 1])]
)
def test_a_chord_counts_what_failed(word: str, counts: list[int]) -> None:
    assert carried_out(word).value()[:3] == counts


def test_parallel_branches_do_not_wait_for_each_other() -> None:
    harness = Harness(meets)
    run_id = harness.submit(meets, 1)
    harness.settle()
    names = [line["name"] for line in harness.outcome(run_id).history if line["kind"] == "step"]
    assert names == ["right"]
    harness.signal(run_id, "right is there")
    harness.run()
    assert harness.outcome(run_id).value() == [1, 2]


def test_a_started_run_is_abandoned_and_not_cancelled_with_its_starter() -> None:
    harness = Harness(starts_and_waits, stands_alone)
    run_id = harness.submit(starts_and_waits, 3)
    harness.settle()
    (started,) = harness.outcome(run_id).view["children"]
    harness.cancel(run_id)
    harness.run()
    assert (harness.status(run_id), harness.outcome(started).value()) == ("cancelled", 3)
