"""A worker whose machine's clock is set by an hour while it works: slots, sleeps, attempts, windows and limits.

A preloaded shim moves the wall clock of the worker's process alone and leaves its monotonic clock, as a real step does,
also for the client library's waits. (libfaketime does not know those of C11, and a step lets them wait for an hour.)
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streams import clock as wall
from streams.clock import monotonic
from streams.engine.ids import slot_id
from streams.local.kafka import EmbeddedKafka
from tests.apps.clock.events import Rung
from tests.apps.clock.reactions import QUIET_S
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import busiest
from tests.kafka.schedules.conftest import Clock
from tests.kafka.schedules.test_takeover import NAME, SECOND, grown, ticks

SOURCE = Path(__file__).parent / "rig" / "stepped_clock.c"
HOUR_S = 3700  # a little more: brokers refuse records from over an hour ahead unless topics say otherwise
CATCH_UP_MS = 60_000
SLEEP_S, AGAIN_S = 6.0, 5.0
LATE_S = 4.0  # what a wait may take longer on a busy machine

pytestmark = pytest.mark.faults_long


class Stepped(Clock):
    """A pipeline whose workers' wall clock is set by a file."""

    def __init__(self, bootstrap: str, folder: Path, library: Path) -> None:
        super().__init__(bootstrap, folder)
        self.offset = folder / "offset"
        self.offset.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self.offset)}

    def set_by(self, seconds: int) -> None:
        """Let the workers' clock differ from the true one by so much, from now on."""
        with self.offset.open("r+b") as file:
            file.write(struct.pack("@q", seconds * 10**9))


def library(folder: Path) -> Path:
    """Return what moves the clock of a process that it is preloaded into; skips the test where it cannot be made."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler here to make the clock's shim with: apt-get install gcc")
    made = folder / "stepped_clock.so"
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return made


@pytest_asyncio.fixture
async def stepped(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Stepped]:
    async with Stepped(kafka.bootstrap, tmp_path, library(tmp_path)) as made:
        yield made


class Waits:
    """One wait of each kind, begun together, and how long each lasted by the test's own clock."""

    def __init__(self, pipeline: Stepped, name: str) -> None:
        self.pipeline = pipeline
        self.name = name
        self.folder = pipeline.folder / name
        self.folder.mkdir()
        self.lasted: dict[str, float] = {}
        self._begun = monotonic()
        self._runs: dict[str, str] = {}

    async def begin(self) -> None:
        errand = {"folder": str(self.folder)}
        given: dict[str, tuple[str, dict[str, Any]]] = {
            "sleep": ("napper", {"seconds": SLEEP_S}),
            "attempt": ("stumbler", errand | {"seconds": AGAIN_S}),
            "breaker": ("knocker", errand),
            **{f"pace {number}": ("pacer", errand) for number in range(9)},
        }
        await self.pipeline.say(Rung(name=self.name))
        self._begun = monotonic()
        self._runs = {await self.pipeline.submit(agent, task): what for what, (agent, task) in given.items()}

        async def under_way() -> bool:
            return len(self.at("brittle")) == 1 and len(self.at("paced")) >= 3

        await until(under_way, 10, self.pipeline.workers[-1].words)

    async def end(self) -> None:
        """Wait until all are over."""

        async def over() -> bool:
            for run_id, endings in (await self.pipeline.endings(self._runs)).items():
                assert endings[0].event_type == "run.succeeded", endings
                self.lasted.setdefault(self._runs[run_id], monotonic() - self._begun)
            for one in await self.pipeline.events(self.pipeline.names.events):
                if one.attributes.type == "clock.answered" and vars(one.event)["name"] == self.name:
                    self.lasted.setdefault("window", monotonic() - self._begun)
            return len(self.lasted) == len(self._runs) + 1

        await until(over, 40, lambda: f"only {self.lasted} {self.pipeline.workers[-1].words()}")

    def at(self, name: str) -> list[float]:
        """Return when the errands were run, by the machine's monotonic clock."""
        path = self.folder / name
        return [float(line) for line in path.read_text("ascii").split()] if path.exists() else []

    def check(self) -> None:
        """Check that nothing came early by more than a hundredth, nor much too late."""
        for what, wanted in {"sleep": SLEEP_S, "window": QUIET_S}.items():
            assert wanted * 0.98 <= self.lasted[what] <= wanted + LATE_S, (what, self.lasted)
        [attempts] = [self.at(path.name) for path in self.folder.glob("stumbler-*")]
        for what, times, wanted in (("attempt", attempts, AGAIN_S), ("breaker", self.at("brittle"), 3.0)):
            [gap] = [after - before for before, after in pairwise(times)]
            assert wanted * 0.98 <= gap <= wanted + LATE_S, (what, gap)
        assert len(self.at("paced")) == 9
        assert busiest(self.at("paced"), 3.0) <= 3
        assert max(self.at("paced")) - min(self.at("paced")) <= 6 + LATE_S


async def row(worker: Worker) -> dict[str, Any]:
    rows: list[dict[str, Any]] = (await worker.owner.get("/owner/schedules")).json()["schedules"]
    return next(one for one in rows if one["name"] == NAME)


async def test_a_clock_that_is_set_an_hour_ahead_and_back(stepped: Stepped, tell: Tell) -> None:
    """Each slot fires once; the hour that never was is missed but for what `catch_up` brings; no wait is changed."""
    worker = await stepped.running("a")
    await grown(stepped, 5)

    before = Waits(stepped, "ahead")
    await before.begin()
    ahead_ms = wall.now_ms()
    stepped.set_by(HOUR_S)
    await before.end()
    before.check()
    await grown(stepped, 5)

    after = Waits(stepped, "back")
    await after.begin()
    stepped.set_by(0)
    back_ms = wall.now_ms()
    await after.end()
    after.check()
    rested = await ticks(stepped)
    assert max(slot for _, slot in rested) <= back_ms + HOUR_S * SECOND, "nothing that is to come has fired"
    assert not worker.ended
    assert await worker.is_ready()

    stepped.set_by(HOUR_S)
    again = Waits(stepped, "again")
    await again.begin()
    await again.end()
    again.check()
    await grown(stepped, 5)

    found = await ticks(stepped)
    slots = sorted(slot for _, slot in found)
    assert [id for id, slot in found if id != slot_id(NAME, slot)] == []
    assert [slot for slot, count in Counter(slots).items() if count > 1] == [], "fired twice"
    gone = sorted(set(range(slots[0], slots[-1] + 1, SECOND)) - set(slots))
    assert gone == list(range(gone[0], gone[-1] + 1, SECOND)), "what is missing is one gap"
    assert ahead_ms - 2 * SECOND <= gone[0] <= ahead_ms + 2 * SECOND
    assert abs(gone[-1] - (ahead_ms + HOUR_S * SECOND - CATCH_UP_MS)) <= 6 * SECOND
    now = await row(worker)
    assert (now["missed"], now["skipped"], now["failed"]) == (len(gone), 0, 0)
    tell(slots=len(slots), twice=0, missed=len(gone), waits=len(before.lasted) * 3, fired=now["fired"])
    assert await asyncio.wait_for(worker.stop(), 30) == 0, worker.words()
