"""Two workers under a thousand events a second: killed, stopped past their session, joined and left, all exact."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from streams import clock
from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.report import Tell
from tests.faults.rig.stateful import Stateful, exact
from tests.faults.rig.waiting import until

LEAST = 5_000
PAST_THE_SESSION_S = 9  # the session is 6 s
PAST_THE_TRANSACTION_S = 24  # its time-out is 20 s
STAGES = ("begun", "produced", "offsets sent", "committed", "stored")
LONG_S = 120  # of joins and leaves


@pytest_asyncio.fixture
async def two(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Stateful]:
    """Return two workers with a feed that flows."""
    async with Stateful(kafka.bootstrap, tmp_path) as made:
        made.start("a")
        made.start("b")
        made.feed.start()
        await made.flows_on(range(4))
        yield made


async def test_one_of_two_is_killed_and_comes_back(two: Stateful, tell: Tell) -> None:
    victim = two.processes[0]
    victim.kill()
    victim.wait()
    moved = await two.flows_on(range(4))
    two.start("a")
    await two.flows(3000)
    verdict = await two.verdict()
    tell(**verdict, goes_on_s=moved)
    assert exact(verdict, LEAST), verdict
    assert moved < 20


@pytest.mark.faults_long
async def test_both_are_killed_and_one_comes_back(two: Stateful, tell: Tell) -> None:
    for process in two.processes:
        process.kill()
    for process in two.processes:
        process.wait()
    two.start("b")
    moved = await two.flows_on(range(4))
    verdict = await two.verdict()
    tell(**verdict, goes_on_s=moved)
    assert exact(verdict, LEAST), verdict
    assert moved < 30


@pytest.mark.parametrize(
    "seconds", [PAST_THE_SESSION_S, pytest.param(PAST_THE_TRANSACTION_S, marks=pytest.mark.faults_long)]
)
async def test_one_sleeps_past_its_time_and_wakes(two: Stateful, seconds: int, tell: Tell) -> None:
    """What it held when it woke counts for nothing: it was another's by then."""
    victim = two.processes[0]
    victim.send_signal(signal.SIGSTOP)
    await two.flows_on(range(4))
    await two.flows(seconds * 500)  # the feed writes a thousand a second
    victim.send_signal(signal.SIGCONT)
    await two.flows(2000)
    if victim.poll() is not None:
        assert victim.returncode == 3, two.words()
        two.start("a")
    await two.flows(1000)
    verdict = await two.verdict()
    tell(**verdict)
    assert exact(verdict, LEAST), verdict


async def test_one_sleeps_in_the_middle_of_a_transaction(
    kafka: EmbeddedKafka, tmp_path: Path, seed: int, tell: Tell
) -> None:
    """Stopped at a stage of a commit that the seed draws, expelled, woken."""
    await sleep_at(Random(seed).choice(STAGES), kafka, tmp_path, seed, tell)


@pytest.mark.faults_long
@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("stage", STAGES)
async def test_one_sleeps_at_each_stage_of_a_transaction(
    kafka: EmbeddedKafka, tmp_path: Path, stage: str, turn: int, seed: int, tell: Tell
) -> None:
    await sleep_at(stage, kafka, tmp_path, seed + turn, tell)


async def sleep_at(stage: str, kafka: EmbeddedKafka, tmp_path: Path, seed: int, tell: Tell) -> None:
    """Stop one of two in the middle of a commit until it is expelled: its transaction counts whole or not at all."""
    number = Random(f"{seed}/{stage}").randint(20, 120)
    async with Stateful(kafka.bootstrap, tmp_path) as two:
        victim = two.start("a", stage, number, "SIGSTOP")
        two.start("b")
        two.feed.start()
        await until(lambda: stopped(victim.pid), what=two.words)
        await two.flows_on(range(4))
        victim.send_signal(signal.SIGCONT)
        await two.flows(2000)
        if victim.poll() is not None:
            assert victim.returncode == 3, two.words()
            two.start("a")
        await two.flows(1000)
        verdict = await two.verdict()
        tell(**verdict)
        assert exact(verdict, LEAST), (stage, number, verdict)


async def test_workers_join_and_leave(two: Stateful, tell: Tell) -> None:
    for slot in ("c", "d"):
        two.start(slot)
        await two.flows(2000)
    for process in two.processes[:2]:
        process.terminate()
        await two.flows(2000)
    for process in two.processes[:2]:
        await until(lambda process=process: process.poll() == 0, what=two.words)  # type: ignore[misc]
    moved = await two.flows_on(range(4))
    verdict = await two.verdict()
    tell(**verdict, goes_on_s=moved)
    assert exact(verdict, LEAST), verdict
    assert moved < 5


@pytest.mark.faults_long
async def test_workers_come_and_go_for_two_minutes(two: Stateful, seed: int, tell: Tell) -> None:
    """Each gets some five seconds, then it leaves or is killed, and another one comes."""
    random = Random(seed)
    end = clock.monotonic() + LONG_S
    alive = {"a": two.processes[0], "b": two.processes[1]}
    while clock.monotonic() < end:
        await two.flows(5000, 90)  # the feed writes a thousand a second
        slot = random.choice(sorted(alive))
        victim = alive.pop(slot)
        if random.random() < 0.5:
            victim.kill()
        else:
            victim.terminate()
        await until(lambda victim=victim: victim.poll() is not None, 20, two.words)  # type: ignore[misc]
        alive[slot] = two.start(slot)
    verdict = await two.verdict(120)
    tell(**verdict)
    assert exact(verdict, 50_000), verdict


def stopped(pid: int) -> bool:
    """Return whether the process is stopped."""
    import psutil

    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
