"""From an agent's queue to the result that the owner tells, through a real worker and a real broker."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from schemas.signal import CancelRequested, ResumeRequested, SignalSent
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from topics.groups import committed

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fresh() -> str:
    return f"r{uuid.uuid4().hex[:16]}"


async def view(worker: Worker, run_id: str) -> dict[str, Any]:
    """Return what the owner tells of a run, which is on the log: a worker that is busy is asked again."""
    body: dict[str, Any] = {}

    async def told() -> bool:
        answer = await worker.owner.get(f"/owner/runs/{run_id}")
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            body.update(answer.json())
        return answer.status_code == 200

    await until(told, what=lambda: f"{run_id} is told of; {worker.words()}")
    return body


async def status_is(worker: Worker, run_id: str, status: str) -> None:
    async def reached() -> bool:
        return bool((await view(worker, run_id))["status"] == status)

    await until(reached, what=lambda: f"{run_id} is {status}; {worker.words()}")


async def test_a_submission_becomes_a_result(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("work", shared.task(steps=3))
    ending = (await shared.ended([run_id]))[run_id]
    assert [(one.event_type, one.ending, one.result) for one in ending] == [("run.succeeded", 1, {"steps": 3})]
    await status_is(worker, run_id, "succeeded")  # an ending may be read before its worker has heard of the commit
    answer = await worker.owner.get(f"/owner/runs/{run_id}/result")
    assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "result": {"steps": 3}})
    shown = await view(worker, run_id)
    assert (shown["status"], shown["progress"], shown["agent"]) == ("succeeded", 100, "work")
    entries = (await worker.owner.get(f"/owner/runs/{run_id}/history")).json()["entries"]
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    assert [entry["output"] for entry in entries if entry["kind"] == "step"] == [0, 1, 2]
    keys = [key for key in shared.effects() if key.startswith(f"{run_id}/")]
    assert len(keys) == 3
    assert {shared.effects()[key] for key in keys} == {1}


async def test_an_unknown_run_is_not_found(worker: Worker) -> None:
    for page in ("", "/result", "/history"):
        assert (await worker.owner.get(f"/owner/runs/{fresh()}{page}")).status_code == 404


async def test_a_run_is_found_as_soon_as_it_is_on_the_log(shared: Pipeline, worker: Worker) -> None:
    """Never 404 after the acknowledgement: asked at once, many times."""
    for _ in range(20):
        run_id = await shared.submit("work", shared.task())
        assert await view(worker, run_id)


async def test_the_same_run_id_is_one_run(shared: Pipeline) -> None:
    run_id = fresh()
    given = shared.task(steps=1)
    await asyncio.gather(*(shared.submit("work", given, run_id) for _ in range(5)))
    await shared.ended([run_id])
    await shared.submit("work", given, run_id)
    marker = await shared.submit("work", shared.task(), same_partition(shared, run_id))
    assert len((await shared.ended([run_id, marker]))[run_id]) == 1
    assert [count for key, count in shared.effects().items() if key.startswith(f"{run_id}/")] == [1]


async def test_the_same_id_with_another_input_is_one_dead_letter(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("work", shared.task(steps=1))
    await shared.submit("work", shared.task(steps=2), run_id)
    marker = await shared.submit("work", shared.task(), same_partition(shared, run_id))
    await shared.ended([run_id, marker])
    assert (await view(worker, run_id))["input"]["steps"] == 1
    letters = await shared.letters_of(run_id.encode())
    assert [(one.error_type, one.consumer) for one in letters] == [("RunConflictError", "work")]


async def test_an_input_that_does_not_fit_is_one_dead_letter(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("work", {"steps": "many"})
    marker = await shared.submit("work", shared.task(), same_partition(shared, run_id))
    await shared.ended([marker])
    assert [one.error_type for one in await shared.letters_of(run_id.encode())] == ["ValidationError"]
    assert (await worker.owner.get(f"/owner/runs/{run_id}")).status_code == 404


async def test_a_signal_before_its_run_is_kept_for_it(shared: Pipeline) -> None:
    run_id = fresh()
    said = SignalSent(run_id=run_id, signal_id="s1", name="probe.approval", data={"name": "Ann"})
    ack = await shared.say(said)
    await shared.say(said)
    await applied(shared, ack.topic, ack.partition, ack.offset + 1)
    await shared.submit("waiter", shared.task(), run_id)
    assert [one.result for one in (await shared.ended([run_id]))[run_id]] == [{"name": "Ann"}]


async def test_a_signal_wakes_a_waiting_run_once(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("waiter", shared.task())
    await status_is(worker, run_id, "waiting")
    for name in ("Ann", "Ben"):
        await shared.say(SignalSent(run_id=run_id, signal_id="s1", name="probe.approval", data={"name": name}))
    assert [one.result for one in (await shared.ended([run_id]))[run_id]] == [{"name": "Ann"}]


async def test_a_cancelled_run_ends_cancelled_and_only_once(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("waiter", shared.task())
    await status_is(worker, run_id, "waiting")
    for request in ("c1", "c1", "c2"):
        await shared.say(CancelRequested(run_id=run_id, request_id=request, reason="no need"))
    marker = await shared.submit("work", shared.task(), same_partition(shared, run_id))
    endings = (await shared.ended([run_id, marker]))[run_id]
    assert [(one.event_type, one.reason) for one in endings] == [("run.cancelled", "no need")]


async def test_a_cancel_before_its_run_cancels_it(shared: Pipeline) -> None:
    run_id = fresh()
    ack = await shared.say(CancelRequested(run_id=run_id, request_id="c1", reason="too early"))
    await applied(shared, ack.topic, ack.partition, ack.offset)
    await shared.submit("waiter", shared.task(), run_id)
    assert [one.event_type for one in (await shared.ended([run_id]))[run_id]] == ["run.cancelled"]


async def test_a_failed_run_is_resumed_where_it_failed(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("fragile", shared.task())
    failed = (await shared.ended([run_id]))[run_id]
    assert [(one.event_type, one.ending) for one in failed] == [("run.failed", 1)]
    await status_is(worker, run_id, "failed")
    answer = await worker.owner.get(f"/owner/runs/{run_id}/result")
    assert answer.status_code == 409
    assert answer.json()["failed_path"]

    async def told() -> bool:
        return any(one.run_id == run_id for one in await shared.letters())

    await until(told, what=worker.words)
    (shared.effects_folder / "mended").touch()
    for request in ("q1", "q2"):
        await shared.say(ResumeRequested(run_id=run_id, request_id=request, ending=1))

    async def twice() -> bool:
        return len((await shared.endings([run_id]))[run_id]) == 2

    await until(twice, what=worker.words)
    endings = (await shared.endings([run_id]))[run_id]
    assert [(one.event_type, one.ending) for one in endings] == [("run.failed", 1), ("run.succeeded", 2)]
    assert [count for key, count in shared.effects().items() if key.startswith(f"{run_id}/")] == [1]


async def test_a_child_is_run_on_its_own_queue_and_answers(shared: Pipeline, worker: Worker) -> None:
    run_id = await shared.submit("caller", shared.task(steps=2))
    assert (await shared.ended([run_id]))[run_id][0].result == {"steps": 4}
    children = (await view(worker, run_id))["children"]
    assert len(children) == 2
    assert {len(found) for found in (await shared.ended(children)).values()} == {1}


async def test_runs_beyond_the_concurrency_of_their_agent_all_come_to_their_end(shared: Pipeline) -> None:
    runs = await shared.submit_many(12, "single", steps=2)
    assert {len(found) for found in (await shared.ended(runs)).values()} == {1}


async def test_a_run_that_starts_later_is_queued_until_then(shared: Pipeline, worker: Worker) -> None:
    from streams.clock import now_ms

    due = now_ms() + 4000
    run_id = await shared.submit("work", shared.task(), not_before_ms=due)
    assert (await view(worker, run_id))["status"] == "queued"
    await shared.ended([run_id])
    entries = (await worker.owner.get(f"/owner/runs/{run_id}/history")).json()["entries"]
    from schemas.attributes import milliseconds

    assert milliseconds(next(one for one in entries if one["kind"] == "started")["started_at"]) >= due


@pytest.mark.parametrize("place", ["result", "step"])
@pytest.mark.parametrize("size", [1_000_001, 1_048_577])
async def test_what_is_too_large_for_the_log_fails_its_run_and_nobody_elses(
    shared: Pipeline, worker: Worker, place: str, size: int
) -> None:
    """A million bytes and one, and a mebibyte and one."""
    run_id = await shared.submit("bulky", {"bytes": size, "place": place})
    marker = await shared.submit("bulky", {"bytes": 10}, same_partition(shared, run_id))
    endings = await shared.ended([run_id, marker])
    assert [one.event_type for one in endings[run_id]] == ["run.failed"]
    assert "reference" in str(endings[run_id][0].error)
    await status_is(worker, run_id, "failed")


async def test_a_submission_of_more_than_an_entry_holds_is_told_of_and_its_neighbours_run(
    shared: Pipeline, worker: Worker
) -> None:
    """It fits its queue and no journal: a dead letter with the submission in it."""
    large = await shared.submit("bulky", {"bytes": 10, "more": "x" * 1_000_001})
    marker = await shared.submit("bulky", {"bytes": 10}, same_partition(shared, large))
    assert [one.event_type for one in (await shared.ended([marker]))[marker]] == ["run.succeeded"]

    async def told() -> bool:
        return any(one.key == large.encode() for one in await shared.letters())

    await until(told, what=worker.words)
    assert not worker.ended


async def test_a_signal_of_more_than_an_entry_holds_is_told_of_and_fails_nobody(
    shared: Pipeline, worker: Worker
) -> None:
    run_id = await shared.submit("waiter", shared.task())
    large = {"name": "x" * 1_000_001}
    await shared.say(SignalSent(run_id=run_id, signal_id="large", name="probe.approval", data=large))
    await shared.say(SignalSent(run_id=run_id, signal_id="s", name="probe.approval", data={"name": "Ann"}))
    assert [one.result for one in (await shared.ended([run_id]))[run_id]] == [{"name": "Ann"}]
    letters = await shared.letters_of(run_id.encode())
    assert [(one.consumer, one.error_type) for one in letters] == [("signals", "RecordTooLargeError")]


def same_partition(pipeline: Pipeline, run_id: str) -> str:
    """Return a new run id in the partition of another, so that its end tells that the other was passed."""
    return next(found for found in iter(fresh, "") if pipeline.partition(found) == pipeline.partition(run_id))


async def applied(pipeline: Pipeline, topic: str, partition: int, offset: int) -> None:
    """Wait until the pool's group has committed an offset behind that one: heartbeats say nothing of it."""
    group = pipeline.names.topic("streams.default")

    async def passed() -> bool:
        offsets = await asyncio.to_thread(committed, pipeline.kafka, group)
        return offsets.get((topic, partition), -1) > offset

    await until(passed, what=f"{topic}/{partition} is applied up to {offset}")
