"""A worker that stops, or is killed, and comes back in its slot: what waited goes on, what was done is not redone."""

from __future__ import annotations

import shutil

from schemas.signal import SignalSent
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until


async def waits(worker: Worker, run_ids: list[str]) -> None:
    async def all_wait() -> bool:
        answers = [await worker.owner.get(f"/owner/runs/{run_id}") for run_id in run_ids]
        return all(answer.status_code == 200 and answer.json()["status"] == "waiting" for answer in answers)

    await until(all_wait, what=worker.words)


async def test_waiting_runs_go_on_after_a_restart_with_what_is_recorded(pipeline: Pipeline) -> None:
    """Those that sleep or wait for a signal, and one that has failed and resumes itself after three seconds."""
    worker = await pipeline.running()
    waiting = [await pipeline.submit("waiter", pipeline.task()) for _ in range(4)]
    await waits(worker, waiting)
    mending = await pipeline.submit("mending", pipeline.task())
    sleeping = [await pipeline.submit("sleeper", pipeline.task(seconds=3)) for _ in range(4)]
    await pipeline.ended([mending])
    (pipeline.effects_folder / "mended").touch()
    await until(lambda: len(pipeline.effects()) >= 4 + 4, what=worker.words)  # those that sleep have begun to
    assert await worker.stop() == 0, worker.words()
    for run_id in waiting:
        await pipeline.say(SignalSent(run_id=run_id, signal_id="s", name="probe.approval", data={"name": "Ann"}))
    again = await pipeline.running()
    endings = await pipeline.ended([*sleeping, *waiting])
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    assert set(pipeline.effects().values()) == {1}
    assert len(pipeline.effects()) == 4 * 2 + 4

    async def mended() -> bool:
        found = (await pipeline.endings([mending]))[mending]
        return [one.event_type for one in found] == ["run.failed", "run.succeeded"]

    await until(mended, what=again.words)
    assert await again.stop() == 0, again.words()


async def test_a_killed_worker_opens_its_store_again_and_reads_only_the_rest(pipeline: Pipeline) -> None:
    worker = await pipeline.running()
    await pipeline.ended(await pipeline.submit_many(50))
    worker.kill()
    again = await pipeline.running()
    assert "rebuil" not in again.words()
    assert restored(again) < 50, again.words()
    runs = await pipeline.submit_many(5)
    assert {len(found) for found in (await pipeline.ended(runs)).values()} == {1}
    assert await again.stop() == 0, again.words()


async def test_a_lost_state_folder_is_rebuilt_from_the_log(pipeline: Pipeline) -> None:
    worker = await pipeline.running()
    for number in range(30):
        ack = await pipeline.say(Counted(name="kept", amount=number, then="nothing"))
    waiting = await pipeline.submit("waiter", pipeline.task())
    await waits(worker, [waiting])
    assert await worker.stop() == 0, worker.words()
    shutil.rmtree(pipeline.settings.state_dir)
    again = await pipeline.running()
    row = await again.owner.get("/owner/tables/counts/kept", params={"consistency": f"offset:{ack.offset}"})
    assert row.json()["value"] == {"events": 30, "total": sum(range(30))}
    await pipeline.say(SignalSent(run_id=waiting, signal_id="s", name="probe.approval", data={"name": "Ann"}))
    assert [one.result for one in (await pipeline.ended([waiting]))[waiting]] == [{"name": "Ann"}]
    assert await again.stop() == 0, again.words()


async def test_a_damaged_store_is_rebuilt_and_said(pipeline: Pipeline) -> None:
    worker = await pipeline.running()
    ack = await pipeline.say(Counted(name="kept", amount=3, then="nothing"))
    assert (
        await worker.owner.get("/owner/tables/counts/kept", params={"consistency": f"offset:{ack.offset}"})
    ).status_code == 200
    assert await worker.stop() == 0, worker.words()
    for current in pipeline.settings.state_dir.rglob("CURRENT"):
        current.write_bytes(b"no manifest of mine\n")
    again = await pipeline.running()
    assert "damaged" in again.words()
    assert (await again.owner.get("/owner/tables/counts/kept")).json()["value"] == {"events": 1, "total": 3}
    assert await again.stop() == 0, again.words()


def restored(worker: Worker) -> int:
    """Return how many records of the journal it said it had read at its start."""
    lines = [line for line in worker.words().splitlines() if "restored journal" in line]
    return sum(int(line.rpartition(": ")[2].split()[0]) for line in lines)
