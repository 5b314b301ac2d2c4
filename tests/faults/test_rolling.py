"""Old and new code with different agents, tables and reactions side by side: no partition stops, nothing is lost."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from schemas.signal import SignalSent
from streams import clock
from streams.local.kafka import EmbeddedKafka
from tests.apps.rolling import deploy
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until
from topics.reader import read

NAMES = 16
LONG_S = 600.0
MOST_STILL_S = 15.0  # between a run's submission and its end, restarts of workers included


@dataclass
class Deployments:
    """A pipeline whose topics are those of the new code, and the folders of both versions."""

    pipeline: Pipeline
    old: Path
    new: Path
    said: Counter[str]

    def start(self, slot: str, *, new: bool) -> Worker:
        return self.pipeline.start(slot, path=self.new if new else self.old)

    async def say(self, turns: int) -> None:
        """Put `turns` events of each name on the bus."""
        kind: Any = self.pipeline.catalog.events["rolling.noted"]
        for _ in range(turns):
            for number in range(NAMES):
                name = f"n{number}"
                await self.pipeline.say(kind(name=name, amount=2))
                self.said[name] += 1

    async def declared(self) -> None:
        """Wait until the new table and the new reaction have begun in every partition, whatever code owns it."""
        names = {b"n/reaction/mirror", b"n/table/table.extras.v1"}

        async def begun() -> bool:
            pipeline = self.pipeline
            rows = await asyncio.to_thread(lambda: list(read(pipeline.kafka, pipeline.names.journal("default"))))
            found = {(row.partition, row.key) for row in rows if row.key in names}
            return len(found) == len(names) * pipeline.settings.partitions

        await until(begun)

    async def complete(self) -> None:
        """Wait until each table has each event once; `reflections` is made of what the reaction said."""
        wanted = {name: (count, 2 * count) for name, count in self.said.items()}
        found: dict[str, dict[str, tuple[int, int]]] = {}

        async def all_there() -> bool:
            for table in ("sums", "extras", "reflections"):
                found[table] = await rows(self.pipeline, table)
            return all(one == wanted for one in found.values())

        def seen() -> Any:
            odd = {
                table: {name: (one.get(name), wanted[name]) for name in wanted if one.get(name) != wanted[name]}
                for table, one in found.items()
            }
            return odd, [worker.words() for worker in self.pipeline.workers if not worker.ended]

        await until(all_there, what=seen)


async def rows(pipeline: Pipeline, name: str) -> dict[str, tuple[int, int]]:
    """Return a table's rows, as its changelog has them."""
    table = pipeline.catalog.tables[name]

    def row_of(record: Any) -> tuple[str, tuple[int, int]]:
        row = pipeline.codec.decode(record.value(), table.row)
        return (record.key() or b"").decode(), (row.events, row.total)

    return dict(await pipeline.made_of(pipeline.names.table(table.name, table.version, table.pool), row_of))


@pytest_asyncio.fixture
async def both(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployments]:
    package = f"rolling_{uuid.uuid4().hex[:8]}"
    old, new = deploy(tmp_path / "old", package, more=False), deploy(tmp_path / "new", package, more=True)
    monkeypatch.syspath_prepend(str(new))
    async with Pipeline(kafka.bootstrap, tmp_path / "pipeline", app=package) as pipeline:
        yield Deployments(pipeline, old, new, Counter())
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


async def owned_by(worker: Worker) -> list[int]:
    """Return the partitions that a worker serves: those of which it lists runs."""
    answer = await worker.owner.get("/owner/runs?limit=1")
    assert answer.status_code == 200, answer.text
    return sorted(int(number) for number in answer.headers["x-streams-partitions"].split(",") if number)


async def test_no_partition_stops_and_nothing_is_lost_while_versions_differ(both: Deployments) -> None:
    pipeline = both.pipeline
    new = both.start("b", new=True)
    await new.ready()
    await both.say(2)
    patient = await pipeline.submit_many(pipeline.settings.partitions, "patient")
    old = both.start("a", new=False)
    await old.ready()
    await pipeline.settled()  # each partition has one owner: none waits for a part of it
    steady = await pipeline.submit_many(16, "steady")
    extra = await pipeline.submit_many(16, "extra")
    await both.say(4)
    await pipeline.ended(steady)  # on the partitions of both
    for run_id in patient:
        signal = SignalSent(run_id=run_id, signal_id="s", name="rolling.approved", data={"name": "Ann"})
        await pipeline.say(signal)
    theirs = set(range(pipeline.settings.partitions)) - set(await owned_by(old))
    there = [run_id for run_id in extra if pipeline.partition(run_id) in theirs]
    assert 0 < len(there) < len(extra), "both own some"
    await pipeline.ended(there)
    waiting = set(extra) - set(there)
    assert not await pipeline.endings(waiting), "the old code lacks the agent: its queue waits there"
    assert (await old.owner.get("/readyz")).status_code == 200
    assert await old.stop() == 0, old.words()
    endings = await pipeline.ended([*extra, *patient])
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    await both.say(1)
    await both.complete()
    assert await pipeline.letters() == []
    assert set(pipeline.effects().values()) == {1}
    assert await new.stop() == 0, new.words()


async def test_what_is_new_begins_in_every_partition_while_old_code_owns_some(both: Deployments) -> None:
    pipeline = both.pipeline
    old = both.start("a", new=False)
    await old.ready()
    new = both.start("b", new=True)
    await new.ready()
    await both.declared()
    await both.say(4)
    assert await old.stop() == 0, old.words()
    await both.say(1)
    await both.complete()
    assert await pipeline.letters() == []
    assert await new.stop() == 0, new.words()


@pytest.mark.faults_long
async def test_versions_side_by_side_under_load(both: Deployments, tell: Tell) -> None:
    """Two old and two new workers; every twenty seconds one of them is replaced by one of the other version."""
    pipeline = both.pipeline
    at_work = {slot: (both.start(slot, new=slot in "cd"), slot in "cd") for slot in "abcd"}
    for worker, _ in at_work.values():
        await worker.ready(60)
    await pipeline.settled()
    await both.declared()
    runs: dict[str, float] = {}
    extra: list[str] = []
    worst = replaced = 0.0
    end, change = clock.monotonic() + LONG_S, clock.monotonic() + 20
    while clock.monotonic() < end:
        for run_id in await pipeline.submit_many(pipeline.settings.partitions, "steady"):
            runs[run_id] = clock.monotonic()
        extra += await pipeline.submit_many(pipeline.settings.partitions, "extra")
        await both.say(1)
        ended = await pipeline.endings(runs)
        open_ = {run_id: clock.monotonic() - at for run_id, at in runs.items() if run_id not in ended}
        worst = max([worst, *open_.values()])
        assert worst < MOST_STILL_S, [worker.words() for worker, _ in at_work.values()]
        if clock.monotonic() > change:
            slot = sorted(at_work)[int(replaced) % len(at_work)]
            worker, was_new = at_work[slot]
            assert await worker.stop() == 0, worker.words()
            at_work[slot] = (both.start(slot, new=not was_new), not was_new)
            replaced, change = replaced + 1, clock.monotonic() + 20
        await asyncio.sleep(0.2)
    for slot, (worker, is_new) in list(at_work.items()):
        if not is_new:
            assert await worker.stop() == 0, worker.words()
            del at_work[slot]
    endings = await pipeline.ended([*runs, *extra], 120)
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    await both.complete()
    repeated = sum(1 for count in pipeline.effects().values() if count > 1)
    events = both.said.total()
    tell(
        runs=len(runs) + len(extra),
        events=events,
        replaced=replaced,
        longest_s=round(worst, 1),
        steps_repeated=repeated,
    )
    assert not repeated, "steps of workers that left in peace were made again"
