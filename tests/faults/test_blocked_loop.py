"""Code that blocks the event loop: its worker is replaced, and the run that does it again and again is failed."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.keeper import Keeper
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="function")

AFTER_S = 8  # more than an import takes on a busy machine
WAIT_S = 240


@pytest_asyncio.fixture(loop_scope="function")
async def strange(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline(kafka.bootstrap, tmp_path, partitions=2, app="tests.apps.strange") as pipeline:
        pipeline.environment["STREAMS_LOOP_BLOCKED_AFTER"] = str(AFTER_S)
        yield pipeline


def _ends(pipeline: Pipeline) -> list[Worker]:
    return [worker for worker in pipeline.workers if worker.ended]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("matches", "in catastrophe"),  # holds the interpreter's lock as well, so that no thread can notice it
        pytest.param("sleeps", "in sleeps", marks=pytest.mark.faults_long),
        pytest.param("matches_in_a_step", "in catastrophe", marks=pytest.mark.faults_long),
        pytest.param("sleeps_in_a_step", "in sleep_in_a_coroutine", marks=pytest.mark.faults_long),
    ],
)
async def test_a_run_that_blocks_three_workers_is_failed_and_others_go_on(
    strange: Pipeline, name: str, line: str
) -> None:
    async with Keeper(strange, "a") as one, Keeper(strange, "b") as other:
        await one.ready()
        await other.ready()
        await strange.settled()
        run_id = await strange.submit(name, None)
        endings = (await strange.ended([run_id], WAIT_S))[run_id]
        assert [one.event_type for one in endings] == ["run.failed"]
        error = endings[0].error
        assert error["type"] == "LoopBlockedError"
        # A partition can move while its owner is still blocked for the third time: a fourth worker then begins the run.
        found = re.search(r"blocked the event loop of its worker ([34]) times", error["message"])
        assert found, error
        assert "agents.py:" in error["message"]
        assert line in error["message"]
        killed = _ends(strange)
        assert len(killed) == int(found[1])
        for worker in killed:
            assert f"{run_id} of {name}" in worker.words()
            assert line in worker.words()
        fine = [await strange.submit("fine", None) for _ in range(6)]
        ended = await strange.ended(fine, WAIT_S)
        assert {one.event_type for found in ended.values() for one in found} == {"run.succeeded"}
    assert _ends(strange) == killed


async def test_steps_that_would_end_the_process_fail(strange: Pipeline) -> None:
    worker = await strange.running("a")
    ids = [await strange.submit(name, None) for name in ("leaves", "nothing_first")]
    ended = await strange.ended(ids, WAIT_S)
    assert [one.event_type for found in ended.values() for one in found] == ["run.failed"] * 2
    assert [found[0].error["cause"] for found in ended.values()] == ["SystemExit", "StopIteration"]
    assert not worker.ended
    assert await worker.stop() == 0


async def test_a_stopped_worker_is_not_taken_for_a_blocked_one(strange: Pipeline) -> None:
    worker = await strange.running("a")
    worker.send(signal.SIGSTOP)
    await asyncio.sleep(2.5 * AFTER_S)
    worker.send(signal.SIGCONT)
    run_id = await strange.submit("fine", None)
    assert [one.event_type for one in (await strange.ended([run_id], WAIT_S))[run_id]] == ["run.succeeded"]
    assert "blocked" not in worker.words()
    await until(lambda: not worker.ended)
