"""The broker's process stands still for a while and goes on: so does the work, and nothing is lost or done twice.

A lone broker that was still for longer than its own session is out of its cluster for a moment, says so to whoever asks
for brokers, and has taken the group's members for dead. The long form takes three quarters of an hour and writes a
row after each pause:

    FAULTS_TABLE=pauses.md uv run pytest -n 0 -s -m faults_long tests/faults/test_broker_pauses.py
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home
from tests.faults.rig.report import Note, Tell
from tests.faults.rig.standing import Scene, standing

PAUSES_S = (1, 3, 7, 9, 14, 30, 120)
SHORT_S = (7, 9)
REPETITIONS = 5
GOES_ON_S = 10.0  # from the broker's return to the end of a run on each partition that was submitted after it
REPLACED_S = 30.0  # the same where a worker ended instead, with a clear message, within those ten seconds
BUSY_S = 60.0  # the same beside other tests, which take the processors: it tells a hang from a machine that is busy


class Continued(NamedTuple):
    """After how many seconds work went on, and when workers ended that were replaced: negative, during the pause."""

    seconds: float
    ends: list[float]


class Paused(NamedTuple):
    """A pipeline, and the broker that stands still."""

    scene: Scene
    broker: EmbeddedKafka

    async def pause(self, seconds: float, *, load: bool) -> Continued:
        """Stop the broker's process for so long; return the seconds from its return until all partitions work."""
        await self.scene.ready()
        async with self.scene.giving(load=load):
            process, began = self.broker.process, time.monotonic()
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                back = time.monotonic()
                process.send_signal(signal.SIGCONT)
            went_on = await self.scene.goes_on()
            return Continued(went_on, [end + began - back for end in self.scene.ends_since(began)])

    async def judged(self, found: list[Continued], tell: Tell, limit: float) -> None:
        """Tell the figures and judge them."""
        verdict = await self.scene.ledger.verdict(self.scene.pipeline)
        times = sorted(one.seconds for one in found)
        tell(
            pauses=len(times), **verdict, goes_on_s=times[len(times) // 2], worst_s=times[-1], ends=self.scene.restarts
        )
        assert (verdict["lost"], verdict["twice"]) == (0, 0), self.scene.words()
        for one in found:
            assert one.seconds < limit or (one.ends and one.seconds < max(REPLACED_S, limit)), self.scene.words()
            assert all(end < limit for end in one.ends), self.scene.words()


@pytest_asyncio.fixture
async def paused(tmp_path: Path) -> AsyncIterator[Paused]:
    """Return a pipeline on a broker of its own."""
    broker = EmbeddedKafka(tmp_path, cache_home())
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready)
    try:
        async with standing(broker.bootstrap, tmp_path) as scene:
            yield Paused(scene, broker)
    finally:
        await asyncio.to_thread(broker.kill)


async def test_work_goes_on_after_pauses_around_the_sessions_time_out(paused: Paused, tell: Tell) -> None:
    """At seven to nine seconds the members are taken for dead and the broker is out of its own cluster."""
    times = [await paused.pause(seconds, load=True) for seconds in SHORT_S]
    await paused.judged(times, tell, BUSY_S)


@pytest.mark.faults_long
@pytest.mark.parametrize("load", [False, True], ids=["idle", "under load"])
@pytest.mark.parametrize("seconds", PAUSES_S)
async def test_a_pause_of(paused: Paused, tell: Tell, note: Note, seconds: int, load: bool) -> None:
    times = []
    for number in range(1, REPETITIONS + 1):
        times.append(await paused.pause(seconds, load=load))
        row = {"pause, s": seconds, "load": "yes" if load else "no", "number": number}
        ends = " ".join(f"{end:.1f}" for end in times[-1].ends) or "-"
        found = await paused.scene.ledger.verdict(paused.scene.pipeline)
        note({**row, "goes on, s": times[-1].seconds, "workers ended after, s": ends, **found})
    await paused.judged(times, tell, GOES_ON_S)
