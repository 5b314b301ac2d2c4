"""Kills beside standbys: whoever dies, counters are exact and runs end once, and the copies change nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.apps.pipeline.events import Counted
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.queries import Traffic
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.faults_long

NAMES = [f"name-{number}" for number in range(12)]
TURNS = 4
RUNS = 40


@pytest_asyncio.fixture
async def pipeline(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """Return a pipeline in which every partition has a copy."""
    async with Pipeline(kafka.bootstrap, tmp_path) as made:
        made.settings = made.settings.changed(standbys=1)
        yield made


async def test_old_rows_are_told_while_their_owner_is_dead_and_only_to_who_takes_them(pipeline: Pipeline) -> None:
    workers = [await pipeline.running("a")]
    for name in NAMES:
        ack = await pipeline.say(Counted(name=name, amount=1, then="nothing"))
        place = {"consistency": f"offset:{ack.offset}"}
        assert (await workers[0].owner.get(f"/owner/tables/counts/{name}", params=place)).status_code == 200
    workers.append(await pipeline.running("b"))
    async with Gateway(pipeline) as gateway:

        async def kept() -> bool:
            found = (await gateway.http.get("/workers")).json()["workers"]
            return sorted(number for worker in found for number in worker["standbys"]) == [0, 1, 2, 3]

        await until(kept, 30, workers[1].words)
        fresh = [await gateway.http.get(f"/tables/counts/{name}?stale=ok") for name in NAMES]
        assert {said.status_code for said in fresh} == {200}
        assert not any("stale" in said.json() for said in fresh)
        workers[0].kill()
        old = [await gateway.http.get(f"/tables/counts/{name}?stale=ok") for name in NAMES]
        assert {said.status_code for said in old} == {200}
        stale = [said.json() for said in old if "stale" in said.json()]
        assert stale
        assert {(row["value"]["events"], row["stale"], row["topic"]) for row in stale} == {
            (1, True, pipeline.names.table("counts", 1, "default"))
        }
        refused = await gateway.http.get(f"/tables/counts/{stale[0]['key']}")
        assert refused.status_code == 503 or "stale" not in refused.json()


async def test_counters_are_exact_while_owners_and_keepers_of_copies_are_killed_and_stopped(
    pipeline: Pipeline, seed: int, tell: Tell
) -> None:
    """Each turn one of three is killed, or sleeps past its session as the zombie that it then is, and comes back."""
    chance = Random(seed)
    workers = {slot: await pipeline.running(slot) for slot in "abc"}
    runs: list[str] = []
    async with Gateway(pipeline) as gateway:
        traffic = Traffic(gateway.asker, NAMES, seed)
        model = traffic.model

        async def answered(more: int) -> None:
            goal = model.statuses[200] + more
            await until(lambda: model.statuses[200] >= goal, 90, lambda: f"{model.statuses}")

        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(traffic.write(name))
            group.create_task(traffic.read(40))
            for _ in range(TURNS):
                runs += await pipeline.submit_many(RUNS)
                await answered(150)
                slot = chance.choice("abc")
                if chance.random() < 0.5:
                    workers[slot].kill()
                    await answered(300)
                else:
                    workers[slot].send(signal.SIGSTOP)
                    await answered(400)
                    workers[slot].send(signal.SIGCONT)
                    await answered(100)
                if workers[slot].ended or not await workers[slot].is_ready():
                    workers[slot].kill()
                    workers[slot] = await pipeline.running(slot)
            traffic.stop()
        for name in NAMES:
            await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)
            assert model.keys[name].seen == model.keys[name].acknowledged, name
    endings = await pipeline.ended(runs)
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    taken = sum(log.read_text("utf-8").count("taken over from the standby") for log in pipeline.folder.glob("*.log"))
    tell(reads=sum(model.statuses.values()), wrong=len(model.wrong), runs=len(runs), taken_over=taken)
    assert model.wrong == []
    assert taken > 0
