"""The broker stops, is killed, is away for long, or is not there at the start: work resumes and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from streams import clock
from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.keeper import Keeper
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.proxy import FETCH, ProxiedKafka, Proxy
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

RESUMES_S = 30  # from the broker's return to the end of what was submitted before it went


@dataclass(slots=True)
class Scene:
    """A broker of the test's own with everything around it."""

    broker: EmbeddedKafka
    pipeline: Pipeline
    gateway: Gateway
    keeper: Keeper
    tell: Tell
    chance: random.Random
    refusals: int = 0

    async def submitted(self, count: int) -> None:
        """Have runs acknowledged."""
        await asyncio.gather(*(self.gateway.submit_until_acknowledged(seconds=180) for _ in range(count)))

    async def refused(self) -> str:
        """Submit once while there is no broker and return the id to repeat with."""
        run_id = f"r{uuid.uuid4().hex[:16]}"
        began = clock.monotonic()
        answer = await self.gateway.submit(run_id)
        assert answer.status_code == 503, answer.text
        assert clock.monotonic() - began < 12
        assert answer.headers["retry-after"]
        assert answer.json()["run_id"] == run_id
        self.refusals += 1
        return run_id

    async def back(self) -> float:
        """Start the broker again; return when it answers."""
        await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.broker.wait_ready)
        return clock.monotonic()

    async def settled(self, since: float) -> float:
        """Wait until what was acknowledged has ended, each once; return the seconds since `since`."""
        endings = await self.pipeline.ended(self.gateway.acknowledged, RESUMES_S)
        took = clock.monotonic() - since
        await self.submitted(10)
        endings = await self.pipeline.ended(self.gateway.acknowledged, RESUMES_S)
        assert await self.keeper.current.stop() == 0, self.keeper.words()
        endings = await self.pipeline.endings(self.gateway.acknowledged)
        assert {len(found) for found in endings.values()} == {1}
        assert max(self.pipeline.effects().values()) <= 1 + self.keeper.restarts, self.keeper.words()
        self.tell(
            acked=len(set(self.gateway.acknowledged)),
            refused=self.refusals,
            lost=len(set(self.gateway.acknowledged)) - len(endings),
            repeated=sum(len(found) - 1 for found in endings.values()),
            goes_on_s=took,
            restarts=self.keeper.restarts,
        )
        assert took < RESUMES_S, self.keeper.words()
        return took


@asynccontextmanager
async def standing(broker: EmbeddedKafka, bootstrap: str, folder: Path, tell: Tell, seed: int) -> AsyncIterator[Scene]:
    """Give a pipeline that works, on a broker that may be harmed."""
    async with (
        Pipeline(bootstrap, folder / "pipeline") as pipeline,
        Gateway(pipeline) as gateway,
        Keeper(pipeline) as keeper,
    ):
        await keeper.ready()
        made = Scene(broker, pipeline, gateway, keeper, tell, random.Random(seed))
        await made.submitted(20)
        yield made


@pytest_asyncio.fixture
async def scene(tmp_path: Path, tell: Tell, seed: int) -> AsyncIterator[Scene]:
    """Return a pipeline on a broker of its own."""
    broker = EmbeddedKafka(tmp_path, cache_home())
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready)
    try:
        async with standing(broker, broker.bootstrap, tmp_path, tell, seed) as made:
            yield made
    finally:
        await asyncio.to_thread(broker.kill)


@pytest_asyncio.fixture
async def proxied(tmp_path: Path, tell: Tell, seed: int) -> AsyncIterator[tuple[Scene, Proxy]]:
    """Return a pipeline whose every connection goes through a proxy."""
    async with Proxy() as proxy:
        broker = ProxiedKafka(tmp_path, cache_home(), proxy.port)
        await asyncio.to_thread(broker.start)
        proxy.target = broker.port
        await asyncio.to_thread(broker.wait_ready)
        try:
            async with standing(broker, proxy.address, tmp_path, tell, seed) as made:
                yield made, proxy
        finally:
            await asyncio.to_thread(broker.kill)


@pytest.mark.faults_long
async def test_a_clean_stop_and_start(scene: Scene) -> None:
    giving = asyncio.create_task(scene.submitted(60))
    await asyncio.to_thread(scene.broker.stop)
    since = await scene.back()
    await giving
    await scene.settled(since)


@pytest.mark.faults_long  # the broker may lose the end of a transaction over a restart: see README, Limits
async def test_a_kill_in_the_middle_of_work(scene: Scene) -> None:
    giving = asyncio.create_task(scene.submitted(60))
    some = 41 + scene.chance.randrange(60)  # of 160 effects, 40 of which came before
    await until(lambda: len(scene.pipeline.effects()) > some, 20)
    await asyncio.to_thread(scene.broker.kill)
    since = await scene.back()
    await giving
    await scene.settled(since)


@pytest.mark.faults_long  # the broker may lose the end of a transaction over a restart: see README, Limits
async def test_an_outage_of_half_a_minute(scene: Scene) -> None:
    """As long as three submissions in a row take to be refused, which is some 25 s."""
    await outage(scene, 3)


@pytest.mark.faults_long
async def test_an_outage_of_more_than_a_minute(scene: Scene) -> None:
    await outage(scene, 9)


async def outage(scene: Scene, refusals: int) -> None:
    """Take the broker away until so many submissions in a row were refused: each takes some 8 s."""
    giving = asyncio.create_task(scene.submitted(20))
    await asyncio.to_thread(scene.broker.kill)
    began = clock.monotonic()
    refused = [await scene.refused() for _ in range(refusals)]
    assert clock.monotonic() - began > refusals * 5
    since = await scene.back()
    for run_id in refused:
        await scene.gateway.submit_until_acknowledged(run_id)
    await giving
    await scene.settled(since)


@pytest.mark.faults_long
async def test_workers_that_are_killed_while_it_is_away(scene: Scene) -> None:
    giving = asyncio.create_task(scene.submitted(20))
    await asyncio.to_thread(scene.broker.kill)
    scene.keeper.current.kill()
    await until(lambda: scene.keeper.restarts == 1, 5)
    await scene.refused()
    since = await scene.back()
    await giving
    await scene.settled(since)


@pytest.mark.faults_long
async def test_a_worker_that_is_told_to_go_while_it_is_away_goes(scene: Scene) -> None:
    """Whatever it had is on the log or will be done by its successor; it must not hang."""
    await asyncio.to_thread(scene.broker.kill)
    await until(not_answering(scene), 20)
    first = scene.keeper.current
    first.send(signal.SIGTERM)
    await until(lambda: first.ended, 30, first.words)
    since = await scene.back()
    await scene.settled(since)


async def test_all_connections_are_dropped_three_times_in_three_seconds(proxied: tuple[Scene, Proxy]) -> None:
    """Each time whatever was made anew meanwhile: the third drop finds clients in the middle of finding their way."""
    scene, proxy = proxied
    giving = asyncio.create_task(scene.submitted(60))
    some = 41 + scene.chance.randrange(60)
    await until(lambda: len(scene.pipeline.effects()) > some, 20)
    await proxy.drop(3, 1.0 + scene.chance.random() / 2)
    since = clock.monotonic()
    assert proxy.dropped > 20
    await giving
    await scene.settled(since)


async def test_a_worker_that_gets_nothing_any_more_while_records_wait_says_so_and_ends(
    proxied: tuple[Scene, Proxy],
) -> None:
    """Its fetches get lost, all else is answered: such a worker looks alive to its group and to the broker."""
    scene, proxy = proxied
    deaf = scene.keeper.current
    await scene.pipeline.ended(scene.gateway.acknowledged)
    proxy.losing = FETCH
    await proxy.drop(1, 0)  # else the fetch that is under way brings what comes
    await until(lambda: proxy.lost > 0, 10)
    since = clock.monotonic()
    await scene.submitted(5)

    async def told() -> bool:
        answer = await deaf.owner.get("/readyz")
        return answer.status_code == 503 and "nothing was read for" in answer.text

    await until(told, 40, deaf.words)
    await until(lambda: deaf.ended, 60 - (clock.monotonic() - since), deaf.words)
    assert deaf.process.returncode == 3
    assert "records wait: this worker has stopped" in deaf.words()
    scene.tell(says_so_and_ends_s=clock.monotonic() - since)
    proxy.losing = None
    await proxy.drop(1, 0)
    await scene.settled(clock.monotonic())


async def test_a_worker_that_starts_before_the_broker_waits_for_it(tmp_path: Path, tell: Tell) -> None:
    broker = EmbeddedKafka(tmp_path, cache_home())
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready)
    try:
        async with Pipeline(broker.bootstrap, tmp_path / "pipeline") as pipeline:
            runs = await pipeline.submit_many(10)
            await asyncio.to_thread(broker.stop)
            async with Keeper(pipeline) as keeper:
                worker = keeper.current

                await until(lambda: worker.log.read_text("utf-8", "replace") != "" or worker.ended, 30)
                since = clock.monotonic()
                await asyncio.to_thread(broker.start)
                await asyncio.to_thread(broker.wait_ready)
                assert {len(found) for found in (await pipeline.ended(runs, RESUMES_S)).values()} == {1}
                tell(goes_on_s=clock.monotonic() - since, restarts=keeper.restarts)
                assert await keeper.current.stop() == 0, keeper.words()
    finally:
        await asyncio.to_thread(broker.kill)


def not_answering(scene: Scene) -> Callable[[], bool]:
    """Return a condition: the broker's process is gone."""

    def gone() -> bool:
        try:
            return scene.broker.process.poll() is not None
        except Exception:  # noqa: BLE001 - the broker says so when it was killed
            return True

    return gone
