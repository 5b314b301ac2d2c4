"""A worker that is killed beside a standby: its partitions go on from the copies, and nothing is read again."""

from __future__ import annotations

import asyncio
import re

from schemas.signal import SignalSent
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from topics.partition import partition_of

NAMES = [f"name-{number}" for number in range(40)]
_LAG = re.compile(r'^streams_worker_standby_lag_records\{partition="(\d+)"\} ([\d.e+]+)$', re.MULTILINE)


def of(key: str) -> int:
    return partition_of(key.encode(), 4)


async def copies(worker: Worker) -> dict[int, int]:
    """Return how many records each of a worker's copies is behind."""
    told = (await worker.owner.get("/metrics")).text
    return {int(number): int(float(lag)) for number, lag in _LAG.findall(told)}


async def test_a_killed_workers_partitions_go_on_from_the_copies(pipeline: Pipeline) -> None:
    pipeline.settings = pipeline.settings.changed(standbys=1)
    first = await pipeline.running("a")
    for name in NAMES:
        await pipeline.say(Counted(name=name, amount=1, then="nothing"))
    waiting = [await pipeline.submit("waiter", pipeline.task()) for _ in range(8)]

    async def all_done() -> bool:
        """There is nothing left to copy that has not happened yet."""
        rows = (await first.owner.get("/owner/tables/counts?limit=100")).json()["rows"]
        runs = [await first.owner.get(f"/owner/runs/{run_id}") for run_id in waiting]
        return len(rows) == len(NAMES) and all(one.json().get("status") == "waiting" for one in runs)

    await until(all_done, what=first.words)
    second = await pipeline.running("b")

    async def all_copied() -> bool:
        """Each partition has a copy with the worker that does not own it, and none is behind."""
        found = [await copies(worker) for worker in (first, second)]
        return sorted([*found[0], *found[1]]) == [0, 1, 2, 3] and {*found[0].values(), *found[1].values()} == {0}

    await until(all_copied, what=second.words)
    owned = set(await copies(second))
    assert owned
    first.kill()
    paths = [f"tables/counts/{name}" for name in NAMES if of(name) in owned]
    paths += [f"runs/{run_id}" for run_id in waiting if of(run_id) in owned]
    told = await asyncio.gather(
        *(second.owner.get(f"/standby/{path}") for path in paths)
    )  # at once: a session is short
    rows = [said for path, said in zip(paths, told, strict=True) if path.startswith("tables/")]
    runs = [said for path, said in zip(paths, told, strict=True) if path.startswith("runs/")]
    assert rows
    assert {(said.json()["value"]["total"], said.json()["stale"]) for said in rows} == {(1, True)}
    assert {said.json()["status"] for said in runs} <= {"waiting"}
    for run_id in waiting:
        await pipeline.say(SignalSent(run_id=run_id, signal_id="s", name="probe.approval", data={"name": "Ann"}))
    for name in NAMES:
        await pipeline.say(Counted(name=name, amount=2, then="nothing"))

    async def all_there() -> bool:
        answer = await second.owner.get("/owner/tables/counts?limit=100")
        rows = answer.json()["rows"] if answer.status_code == 200 else []
        return {row["key"]: row["value"] for row in rows} == {name: {"events": 2, "total": 3} for name in NAMES}

    await until(all_there, what=second.words)
    endings = await pipeline.ended(waiting)
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    said = second.log.read_text("utf-8")
    taken = {int(number) for number in re.findall(r"partition (\d+) is taken over from the standby here", said)}
    assert taken == owned
    assert "rebuil" not in said
    again = re.findall(r"restored \S+/(\d+): ", said.partition("taken over")[2])
    assert not taken & set(map(int, again)), said
    assert await second.stop() == 0, second.words()
