"""The broker stops, is killed, is away for long, or is not there at the start: work resumes and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
OUTAGE_S = 70
ACKNOWLEDGED = 30  # at least: 20 before the fault, 10 after it
ON_ITS_WAY_S = 1.0  # an answer to what a broker had taken may reach its client a moment after that broker's end


@dataclass(slots=True)
class Scene:
    """A broker of the test's own with everything around it."""

    broker: EmbeddedKafka
    pipeline: Pipeline
    gateway: Gateway
    keepers: list[Keeper]
    tell: Tell
    chance: random.Random
    refusals: int = 0
    gone_at: float = 0.0
    away: list[tuple[float, float]] = field(default_factory=list)  # when there was no broker: from, until

    @property
    def keeper(self) -> Keeper:
        """Return who keeps the first worker."""
        return self.keepers[0]

    @property
    def restarts(self) -> int:
        """Return how many workers had to be started again."""
        return sum(keeper.restarts for keeper in self.keepers)

    def words(self) -> str:
        """Return the end of what the workers said."""
        return "\n===\n".join(keeper.words() for keeper in self.keepers)

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

    async def gone(self, end: Callable[[], None]) -> None:
        """End the broker by `end`, one of its methods; from now on nothing may be acknowledged."""
        await asyncio.to_thread(end)
        self.gone_at = clock.monotonic()

    async def back(self) -> float:
        """Start the broker again; return when it answers."""
        self.away.append((self.gone_at + ON_ITS_WAY_S, clock.monotonic()))
        await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.broker.wait_ready)
        return clock.monotonic()

    async def settled(self, since: float) -> float:
        """Wait until what was acknowledged has ended, each once; return the seconds from `since` to the last ending."""
        since_ms = clock.now_ms() - (clock.monotonic() - since) * 1000
        endings = await self.pipeline.ended(self.gateway.acknowledged)
        took = max(0.0, max((await self.pipeline.ended_ms(self.gateway.acknowledged)).values()) - since_ms) / 1000
        await self.submitted(10)
        endings = await self.pipeline.ended(self.gateway.acknowledged)
        for keeper in self.keepers:
            assert await keeper.current.stop() == 0, keeper.words()
        endings = await self.pipeline.endings(self.gateway.acknowledged)
        untrue = [at for at in self.gateway.acknowledged_at if any(since <= at < end for since, end in self.away)]
        acknowledged = set(self.gateway.acknowledged)
        self.tell(
            acked=len(acknowledged),
            refused=self.refusals,
            acked_while_away=len(untrue),
            lost=len(acknowledged) - len(endings),
            repeated=sum(len(found) - 1 for found in endings.values()),
            away_s=sum(end - since + ON_ITS_WAY_S for since, end in self.away),
            resumes_s=took,
            restarts=self.restarts,
        )
        assert len(acknowledged) >= ACKNOWLEDGED  # no run passes empty
        assert not untrue
        assert {len(found) for found in endings.values()} == {1}
        assert max(self.pipeline.effects().values()) <= 1 + self.restarts, self.words()
        assert took < RESUMES_S, self.words()
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
        made = Scene(broker, pipeline, gateway, [keeper], tell, random.Random(seed))
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
    await scene.gone(scene.broker.stop)
    run_id = await scene.refused()
    since = await scene.back()
    await scene.gateway.submit_until_acknowledged(run_id)
    await giving
    await scene.settled(since)


@pytest.mark.faults_long
@pytest.mark.parametrize("nth", range(10))
async def test_a_kill_in_the_middle_of_work(scene: Scene, seed: int, nth: int) -> None:
    """Its transactions are ended by the broker after its restart, whatever it was at when it was killed."""
    giving = asyncio.create_task(scene.submitted(60))
    some = 41 + random.Random(seed + nth).randrange(60)  # of 160 effects, 40 of which came before
    await until(lambda: len(scene.pipeline.effects()) > some, 20)
    await scene.gone(scene.broker.kill)
    since = await scene.back()
    await giving
    await scene.settled(since)


@pytest.mark.faults_long
async def test_an_outage_of_half_a_minute(scene: Scene) -> None:
    await outage(scene, 30)


@pytest.mark.faults_long
async def test_an_outage_of_more_than_a_minute(scene: Scene) -> None:
    await outage(scene, OUTAGE_S)


async def outage(scene: Scene, seconds: float) -> None:
    """Take the broker away for so long, with submissions all the while: each takes some 7 s to be refused."""
    giving = asyncio.create_task(scene.submitted(20))
    await scene.gone(scene.broker.kill)
    refused = []
    while clock.monotonic() - scene.gone_at < seconds:
        refused.append(await scene.refused())
    since = await scene.back()
    for run_id in refused:
        await scene.gateway.submit_until_acknowledged(run_id)
    await giving
    await scene.settled(since)


async def replaced(scene: Scene, end: Callable[[Keeper], Awaitable[None]]) -> None:
    """End both workers while the broker is away, as `end` does it; their successors find no broker either."""
    async with Keeper(scene.pipeline, "b") as other:
        scene.keepers.append(other)
        await other.ready()
        giving = asyncio.create_task(scene.submitted(20))
        await scene.gone(scene.broker.kill)
        for keeper in scene.keepers:
            await end(keeper)
        await until(lambda: [keeper.restarts for keeper in scene.keepers] == [1, 1], 5)
        run_id = await scene.refused()
        since = await scene.back()
        await scene.gateway.submit_until_acknowledged(run_id)
        await giving
        await scene.settled(since)


@pytest.mark.faults_long
async def test_all_workers_are_killed_while_it_is_away(scene: Scene) -> None:
    async def killed(keeper: Keeper) -> None:
        keeper.current.kill()

    await replaced(scene, killed)


@pytest.mark.faults_long
async def test_workers_are_started_while_it_is_away(scene: Scene) -> None:
    """The first have ended cleanly before, so that nobody is there when work comes with the broker's return."""

    async def stopped(keeper: Keeper) -> None:
        assert await keeper.current.stop() == 0, keeper.words()

    await replaced(scene, stopped)


@pytest.mark.faults_long
async def test_a_worker_that_is_told_to_go_while_it_is_away_goes(scene: Scene) -> None:
    """Whatever it had is on the log or will be done by its successor; it must not hang."""
    await scene.gone(scene.broker.kill)
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
    await until(lambda: len(scene.pipeline.effects()) > some)
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
    await until(lambda: proxy.lost > 0)
    since = clock.monotonic()
    await scene.submitted(5)

    async def told() -> bool:
        answer = await deaf.owner.get("/readyz")
        return answer.status_code == 503 and "was not read for" in answer.text

    await until(told, what=deaf.words)
    await until(lambda: deaf.ended, what=deaf.words)
    assert deaf.process.returncode == 3
    said = re.findall(r"was not read for (\d+) s while \d+ records wait: this worker ends", deaf.words())
    assert said
    assert int(said[-1]) < 60, "by its own clock"
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

                await until(lambda: worker.log.read_text("utf-8", "replace") != "" or worker.ended)
                since = clock.monotonic()
                await asyncio.to_thread(broker.start)
                await asyncio.to_thread(broker.wait_ready)
                assert {len(found) for found in (await pipeline.ended(runs)).values()} == {1}
                tell(goes_on_s=clock.monotonic() - since, restarts=keeper.restarts)
                assert await keeper.current.stop() == 0, keeper.words()
    finally:
        await asyncio.to_thread(broker.kill)
