"""Two workers and a gateway on a broker or a cluster that may be harmed, and the ledger of what was acknowledged."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streams import clock
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.keeper import Keeper
from tests.faults.rig.kills import table_rows
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until

GIVERS = 4
NAMES = 16


@dataclass(slots=True)
class Ledger:
    """What was acknowledged, and what became of it."""

    gateway: Gateway
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:10])
    events: Counter[str] = field(default_factory=Counter)

    async def give(self, halt: asyncio.Event) -> None:
        """Submit runs and events one after the other, each until it is acknowledged, until told to stop."""
        number = 0
        while not halt.is_set():
            await self.gateway.submit_until_acknowledged(seconds=300)
            number += 1
            await self._event(f"{self.mark}-{number % NAMES}")

    async def _event(self, name: str) -> None:
        event = {"type": "probe.counted", "id": uuid.uuid4().hex, "data": {"name": name, "amount": 1}}

        async def done() -> bool:
            answer = await self.gateway.http.post("/events", json=event)
            assert answer.status_code in (202, 503), answer.text
            return answer.status_code == 202

        await until(done, 300)
        self.events[name] += 1

    async def verdict(self, pipeline: Pipeline) -> dict[str, float]:
        """Wait until all that was acknowledged is done, and return what is lost or there twice."""
        runs = self.gateway.acknowledged
        await pipeline.ended(runs, 2 * PATIENCE_S)

        async def counted() -> bool:
            rows = await table_rows(pipeline, "echoes")
            return all(rows.get(name, (0, 0))[0] >= count for name, count in self.events.items())

        await until(counted, what=lambda: [worker.words()[-1500:] for worker in pipeline.workers])
        endings = await pipeline.endings(runs)
        rows = await table_rows(pipeline, "counts")
        off = [rows.get(name, (0, 0))[0] - count for name, count in self.events.items()]
        return {
            "runs": len(set(runs)),
            "events": self.events.total(),
            "lost": len(set(runs) - set(endings)) - sum(one for one in off if one < 0),
            "twice": sum(len(found) - 1 for found in endings.values()) + sum(one for one in off if one > 0),
        }


@dataclass(slots=True)
class Scene:
    """Two workers and a gateway on a broker of their own."""

    pipeline: Pipeline
    gateway: Gateway
    keepers: list[Keeper]
    ledger: Ledger

    async def ready(self) -> None:
        """Wait until both workers are ready and own their share."""
        for keeper in self.keepers:
            await keeper.ready()
        await self.pipeline.settled()

    @asynccontextmanager
    async def giving(self, *, load: bool = True) -> AsyncIterator[None]:
        """Give runs and events within the block, from before it begins."""
        halt = asyncio.Event()
        given = len(self.gateway.acknowledged)
        tasks = [asyncio.create_task(self.ledger.give(halt)) for _ in range(GIVERS if load else 0)]
        if load:
            await until(lambda: len(self.gateway.acknowledged) > given + 2 * GIVERS)
        try:
            yield
        finally:
            halt.set()
            await asyncio.gather(*tasks)

    async def goes_on(self) -> float:
        """Submit a run on each partition; return the seconds from now until the last of them has ended."""
        since_ms = clock.now_ms()
        probes = [self._run_id(number) for number in range(self.pipeline.settings.partitions)]
        await asyncio.gather(*(self.gateway.submit_until_acknowledged(run_id) for run_id in probes))
        await self.pipeline.ended(probes)
        return max(0.0, max((await self.pipeline.ended_ms(probes)).values()) - since_ms) / 1000

    @property
    def restarts(self) -> int:
        """Return how many workers had to be started again."""
        return sum(keeper.restarts for keeper in self.keepers)

    def ends_since(self, moment: float) -> list[float]:
        """Return the seconds from `moment`, of the monotonic clock, to the end of each worker that has ended since."""
        return sorted(end - moment for keeper in self.keepers for end in keeper.ends if end > moment)

    def _run_id(self, place: int) -> str:
        """Return a new run id of that partition."""
        while self.pipeline.partition(run_id := f"r{uuid.uuid4().hex[:16]}") != place:
            continue
        return run_id

    def words(self) -> str:
        """Return the end of what the workers said."""
        return "\n===\n".join(keeper.words() for keeper in self.keepers)


@asynccontextmanager
async def standing(bootstrap: str, folder: Path) -> AsyncIterator[Scene]:
    """Give two workers that were started, and a gateway."""
    async with (
        Pipeline(bootstrap, folder / "pipeline") as pipeline,
        Gateway(pipeline) as gateway,
        Keeper(pipeline, "a") as one,
        Keeper(pipeline, "b") as two,
    ):
        yield Scene(pipeline, gateway, [one, two], Ledger(gateway))
