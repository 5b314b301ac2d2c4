"""Three brokers, each killed in turn under load: Kafka fails over, and no worker has to be replaced for that.

It takes minutes and prints a line of figures for each kill:

    uv run pytest -n 0 -s -m faults_long tests/faults/test_broker_losses.py
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from streams.settings import cache_home
from tests.faults.rig.cluster import Cluster
from tests.faults.rig.report import Note, Tell
from tests.faults.rig.standing import Scene, standing

ADVISED = {"broker.session.timeout.ms": "6000", "broker.heartbeat.interval.ms": "1000"}  # as docs/how-to/deploy.md says
# Kafka itself takes as long as that time-out to notice that a broker is gone, and up to four seconds more if it was the
# controller. By default the time-out is nine seconds.
CASES = [pytest.param((ADVISED, 15.0), id="advised"), pytest.param(({}, 20.0), id="default")]


class Harmed(NamedTuple):
    """A pipeline on a cluster that loses brokers."""

    scene: Scene
    cluster: Cluster
    limit_s: float  # of an interruption


@pytest_asyncio.fixture(params=CASES)
async def harmed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harmed]:
    """Return a pipeline on three brokers of its own."""
    settings, limit_s = request.param
    async with (
        Cluster(tmp_path / "cluster", cache_home(), settings) as cluster,
        standing(cluster.bootstrap, tmp_path) as scene,
    ):
        yield Harmed(scene, cluster, limit_s)


@pytest.mark.faults_long
async def test_each_broker_of_three_is_killed_in_turn(harmed: Harmed, tell: Tell, note: Note) -> None:
    """A run takes its time also with all brokers, on a busy machine seconds: the interruption is what it takes more."""
    scene, cluster, limit_s = harmed
    times = []
    for number, node in enumerate(cluster.nodes, 1):
        await scene.ready()
        before = scene.restarts
        async with scene.giving():
            at_rest = await scene.goes_on()
            await asyncio.to_thread(node.kill)
            goes_on = await scene.goes_on()
            times.append(max(0.0, goes_on - at_rest))
            await asyncio.to_thread(node.start)
            await asyncio.to_thread(node.wait_ready)
            again = await scene.goes_on()
        row = {"killed": number, "before, s": at_rest, "goes on, s": goes_on, "after its return, s": again}
        found = await scene.ledger.verdict(scene.pipeline)
        note({**row, "interruption, s": times[-1], "restarts": scene.restarts - before, **found})
    found = await scene.ledger.verdict(scene.pipeline)
    tell(kills=len(times), **found, interruption_s=sorted(times)[1], worst_s=max(times), restarts=scene.restarts)
    assert (found["lost"], found["twice"]) == (0, 0), scene.words()
    assert scene.restarts == 0, scene.words()
    assert max(times) < limit_s, scene.words()
