"""Two workers under a thousand events a second: killed, stopped past their session, joined and left, all exact."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.stateful import Stateful, exact
from tests.faults.rig.waiting import until

LEAST = 5_000
PAST_THE_SESSION_S = 9  # the session is 6 s
PAST_THE_TRANSACTION_S = 14  # its time-out is 10 s
STAGES = ("begun", "produced", "offsets sent", "committed", "stored")


@pytest_asyncio.fixture
async def two(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Stateful]:
    """Return two workers with a feed that flows."""
    async with Stateful(kafka.bootstrap, tmp_path) as made:
        made.start("a")
        made.start("b")
        made.feed.start()
        await made.flows_on(range(4))
        yield made


async def test_one_of_two_is_killed_and_comes_back(two: Stateful) -> None:
    victim = two.processes[0]
    victim.kill()
    victim.wait()
    assert await two.flows_on(range(4)) < 20
    two.start("a")
    await two.flows(3000)
    verdict = await two.verdict()
    assert exact(verdict, LEAST), verdict


async def test_both_are_killed_and_one_comes_back(two: Stateful) -> None:
    for process in two.processes:
        process.kill()
    for process in two.processes:
        process.wait()
    two.start("b")
    assert await two.flows_on(range(4)) < 30
    verdict = await two.verdict()
    assert exact(verdict, LEAST), verdict


@pytest.mark.parametrize("seconds", [PAST_THE_SESSION_S, PAST_THE_TRANSACTION_S])
async def test_one_sleeps_past_its_time_and_wakes(two: Stateful, seconds: int) -> None:
    """What it held when it woke counts for nothing: it was another's by then."""
    victim = two.processes[0]
    victim.send_signal(signal.SIGSTOP)
    await two.flows_on(range(4))
    await two.flows(seconds * 500, seconds * 3)  # the feed writes a thousand a second
    victim.send_signal(signal.SIGCONT)
    await two.flows(2000)
    if victim.poll() is not None:
        assert victim.returncode == 3, two.words()
        two.start("a")
    await two.flows(1000)
    verdict = await two.verdict()
    assert exact(verdict, LEAST), verdict


@pytest.mark.parametrize("stage", STAGES)
async def test_one_sleeps_in_the_middle_of_a_transaction(
    kafka: EmbeddedKafka, tmp_path: Path, stage: str, seed: int
) -> None:
    """Stopped at a stage of a commit, expelled, woken: the transaction that it left counts whole or not at all."""
    number = Random(f"{seed}/{stage}").randint(20, 120)
    async with Stateful(kafka.bootstrap, tmp_path) as two:
        victim = two.start("a", stage, number, "SIGSTOP")
        two.start("b")
        two.feed.start()
        await until(lambda: stopped(victim.pid), 30, two.words)
        await two.flows_on(range(4))
        victim.send_signal(signal.SIGCONT)
        await two.flows(2000)
        if victim.poll() is not None:
            assert victim.returncode == 3, two.words()
            two.start("a")
        await two.flows(1000)
        verdict = await two.verdict()
        assert exact(verdict, LEAST), verdict


async def test_workers_join_and_leave(two: Stateful) -> None:
    for slot in ("c", "d"):
        two.start(slot)
        await two.flows(2000)
    for process in two.processes[:2]:
        process.terminate()
        await two.flows(2000)
    for process in two.processes[:2]:
        await until(lambda process=process: process.poll() == 0, 20, two.words)  # type: ignore[misc]
    two.start("a")
    await two.flows(2000)
    verdict = await two.verdict()
    assert exact(verdict, LEAST), verdict


async def test_a_worker_that_leaves_is_replaced_at_once(two: Stateful) -> None:
    two.processes[0].terminate()
    await until(lambda: two.processes[0].poll() is not None, 20, two.words)
    assert two.processes[0].returncode == 0, two.words()
    assert await two.flows_on(range(4)) < 5
    verdict = await two.verdict()
    assert exact(verdict, 1000), verdict


def stopped(pid: int) -> bool:
    """Return whether the process is stopped."""
    import psutil

    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
