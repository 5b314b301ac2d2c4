"""The scenarios that workflow engines and task queues promise, each by its name, on a real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.signal import CancelRequested, ForkRequested, ResumeRequested, SignalSent
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANVAS = {
    "chain": 4,
    "chain of groups": 6,
    "empty group": [],
    "empty chord": [0, 0, 0, []],
    "error in a chord's member": [3, 2, 1, [2, "refuse", 3]],
    "chord of chords": [2, 2, 0, [[1, 1, 0, [2]], [2, 1, 1, [3, "refuse"]]]],
}


async def result(pipeline: Pipeline, agent: str, given: Any, seconds: float = PATIENCE_S) -> Any:
    run_id = await pipeline.submit(agent, given)
    ending = (await pipeline.ended([run_id], seconds))[run_id][0]
    assert ending.event_type == "run.succeeded", ending
    return ending.result


async def view(pipeline: Pipeline, run_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await pipeline.workers[0].owner.get(f"/owner/runs/{run_id}")).json()
    return body


async def waits(pipeline: Pipeline, run_id: str) -> None:
    async def reached() -> bool:
        return (await view(pipeline, run_id)).get("status") == "waiting"

    await until(reached, what=f"{run_id} waits")


def lines(pipeline: Pipeline, name: str) -> list[str]:
    path: Path = pipeline.effects_folder / name
    return [line.rpartition(" ")[2] for line in path.read_text("utf-8").splitlines()] if path.exists() else []


@pytest.mark.parametrize("word", CANVAS)
async def test_canvas(shared: Pipeline, word: str) -> None:
    assert await result(shared, "canvases", word) == CANVAS[word]


async def test_retries(shared: Pipeline) -> None:
    assert await result(shared, "retries", shared.task(name="retries")) == 3


async def test_timeouts_of_a_step_a_child_and_a_wait(shared: Pipeline) -> None:
    assert await result(shared, "timeouts", shared.task(name="t")) == ["TimedOut"] * 3 + ["saved"]


async def test_sleep(shared: Pipeline) -> None:
    assert await result(shared, "sleeps", shared.task(name="sleep")) >= 0.5
    assert len(lines(shared, "sleep")) == 1


async def test_signal(shared: Pipeline) -> None:
    run_id = await shared.submit("listens", shared.task(name="parcel"))
    await waits(shared, run_id)
    for number, about in enumerate(("letter", "parcel")):
        data = {"about": about}
        await shared.say(SignalSent(run_id=run_id, signal_id=f"s{number}", name="canvas.answered", data=data))
    assert (await shared.ended([run_id]))[run_id][0].result == "parcel"


async def test_child(shared: Pipeline) -> None:
    assert await result(shared, "calls", shared.task(number=4)) == [5, 1]


async def test_parallel(shared: Pipeline) -> None:
    assert await result(shared, "parallel", shared.task(number=1)) == [1, 2, 3]


async def test_cancel_reaches_children_and_the_clean_up_runs(shared: Pipeline) -> None:
    run_id = await shared.submit("waits_for_children", shared.task(name="cleaned"))
    await waits(shared, run_id)
    children = (await view(shared, run_id))["children"]
    assert len(children) == 3
    await shared.say(CancelRequested(run_id=run_id, request_id="c", reason="enough"))
    ended = await shared.ended([run_id, *children])
    assert len(ended) == 4
    assert all([one.event_type for one in endings] == ["run.cancelled"] for endings in ended.values())
    assert len(lines(shared, "cleaned")) == 1


async def test_nested_resume_does_only_the_failed_step_again(shared: Pipeline) -> None:
    run_id = await shared.submit("outer", shared.task(name="nested"))
    assert (await shared.ended([run_id]))[run_id][0].event_type == "run.failed"
    assert len(lines(shared, "nested")) == 3
    (shared.effects_folder / "nested.mended").touch()
    await shared.say(ResumeRequested(run_id=run_id, request_id="again"))

    async def over() -> bool:
        return len((await shared.endings([run_id]))[run_id]) == 2

    await until(over)
    ending = (await shared.endings([run_id]))[run_id][1]
    assert (ending.event_type, ending.result) == ("run.succeeded", [1, 2, 3, 4])
    assert len(lines(shared, "nested")) == 3, "no finished step was done again, at no level"


async def test_steps_that_are_objects_and_partials(shared: Pipeline) -> None:
    assert await result(shared, "callables", shared.task(number=10)) == [11, 12, 13, 14]


async def test_a_run_that_resumes_itself_waits_for_its_key_and_keeps_to_it(shared: Pipeline) -> None:
    runs = [await shared.submit("stubborn", shared.task(name="key", number=number)) for number in range(3)]

    async def over() -> bool:
        found = await shared.endings(runs)
        return all([one.event_type for one in found.get(run, [])][-1:] == ["run.succeeded"] for run in runs)

    await until(over, what=lambda: lines(shared, "key"))
    endings = await shared.endings(runs)
    assert [[one.event_type for one in endings[run]] for run in runs] == [
        ["run.failed", "run.failed", "run.succeeded"]
    ] * 3
    assert sorted(lines(shared, "key")) == sorted(
        f"{word}-{number}" for word in ("begin", "end") for number in range(3)
    ), "no finished step was done again"


async def test_a_fork_takes_a_history_that_no_record_takes(shared: Pipeline) -> None:
    run_id = await shared.submit("bulk", shared.task(name="bulk", number=10))
    assert (await shared.ended([run_id]))[run_id][0].result == 3_000_000
    asked = ForkRequested(run_id=run_id, new_run_id=f"{run_id}-fork", at="done")
    await shared.producer.send(shared.names.signals, asked)
    ending = (await shared.ended([f"{run_id}-fork"]))[f"{run_id}-fork"][0]
    assert (ending.event_type, ending.result) == ("run.succeeded", 3_000_000)
    assert len(lines(shared, "bulk")) == 2
    history = (await shared.workers[0].owner.get(f"/owner/runs/{run_id}-fork/history")).json()["entries"]
    assert [one["kind"] for one in history].count("step") == 11


async def test_ten_thousand_children_of_one_parent(shared: Pipeline) -> None:
    count = 10_000
    assert await result(shared, "many", {"children": count}, 2 * PATIENCE_S) == sum(range(1, count + 1))


async def test_a_chord_over_ten_thousand(shared: Pipeline) -> None:
    count = 10_000
    assert await result(shared, "many_in_a_chord", {"children": count}, 2 * PATIENCE_S) == [count, count - 2, 2, count]
