"""Workers are added and removed every five seconds for two minutes while a gateway takes runs: the ledger is exact."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from streams import clock
from streams.local.kafka import EmbeddedKafka
from tests.apps.pipeline.events import Counted
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.kills import table_rows
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

EVERY_S = 5.0
LONG_S = 120.0
SLOTS = "abc"
LEAST = 500  # acknowledged ids: no run passes empty
PAUSE_S = 0.2  # between two lots of submissions


class Staff:
    """Slots with and without a worker; each change is one of them, drawn by the seed."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        """Begin with one worker."""
        self._pipeline = pipeline
        self._random = Random(seed)
        self._at_work: dict[str, Worker] = {}
        self.joined = self.left = self.killed = 0
        self.loud = 0  # workers that ended by themselves

    def join(self, slot: str | None = None) -> None:
        """Start a worker in a free slot."""
        free = [one for one in SLOTS if one not in self._at_work]
        slot = slot or self._random.choice(free)
        self._at_work[slot] = self._pipeline.start(slot)
        self.joined += 1

    async def change(self) -> None:
        """Add one or take one away, by SIGTERM or by SIGKILL; one stays always."""
        for slot, worker in list(self._at_work.items()):
            if worker.ended:
                self.loud += 1
                del self._at_work[slot]
                self.join(slot)
        if len(self._at_work) == 1 or (len(self._at_work) < len(SLOTS) and self._random.random() < 0.5):
            self.join()
            return
        worker = self._at_work.pop(self._random.choice(sorted(self._at_work)))
        if self._random.random() < 0.5:
            worker.kill()
            self.killed += 1
            return
        worker.process.terminate()
        await until(lambda: worker.ended, 30, worker.words)
        assert worker.process.returncode in (0, -signal.SIGTERM), worker.words()  # by the signal: it had just begun
        self.left += 1

    def words(self) -> str:
        """Return what those at work said last."""
        return "\n---\n".join(worker.words()[-1500:] for worker in self._at_work.values())


@pytest.mark.faults_long
async def test_workers_come_and_go_every_five_seconds(
    kafka: EmbeddedKafka, tmp_path: Path, seed: int, tell: Tell
) -> None:
    async with Pipeline(kafka.bootstrap, tmp_path) as pipeline, Gateway(pipeline) as gateway:
        staff = Staff(pipeline, seed)
        staff.join()
        counted: Counter[str] = Counter()
        over = asyncio.Event()

        async def load() -> None:
            while not over.is_set():
                await asyncio.gather(*(gateway.submit_until_acknowledged() for _ in range(4)))
                name = f"n{len(counted) % 50}-{len(counted)}"
                await pipeline.say(Counted(name=name))
                counted[name] += 1
                try:
                    async with asyncio.timeout(PAUSE_S):
                        await over.wait()
                except TimeoutError:
                    continue

        giving = asyncio.create_task(load())
        began = clock.monotonic()
        try:
            for turn in range(1, int(LONG_S / EVERY_S) + 1):
                due = began + turn * EVERY_S
                await until(lambda due=due: clock.monotonic() >= due or giving.done(), EVERY_S + 60)  # type: ignore[misc]
                await staff.change()
        finally:
            over.set()
            await giving
        endings = await pipeline.ended(gateway.acknowledged, 120)

        async def folded() -> bool:
            rows = await table_rows(pipeline, "echoes")
            return all(rows.get(name, (0, 0))[0] >= count for name, count in counted.items())

        await until(folded, 60, staff.words)
        rows = [await table_rows(pipeline, name) for name in ("counts", "echoes")]
        wrong = sum(1 for name, count in counted.items() for found in rows if found.get(name) != (count, count))
        effects = pipeline.effects()
        asked = set(gateway.acknowledged)
        lost = len(asked) - len(endings)
        twice = sum(len(found) - 1 for found in endings.values())
        repeated = sum(1 for seen in effects.values() if seen > 1)
        tell(
            acknowledged=len(asked),
            events=counted.total(),
            joined=staff.joined,
            left=staff.left,
            killed=staff.killed,
            loud_ends=staff.loud,
            lost=lost,
            repeated=twice,
            wrong_rows=wrong,
            effects_repeated=repeated,
        )
        assert len(asked) >= LEAST
        assert (lost, twice, wrong) == (0, 0, 0)
        assert {len(run) for run in endings.values()} == {1}
        assert len(effects) == 2 * len(asked)
        assert max(effects.values()) <= 1 + staff.joined
