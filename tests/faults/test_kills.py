"""kill -9 of a worker at each point of its work: nothing acknowledged is lost, nothing ends twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.kills import POINTS, Chain, Outcome, Point
from tests.faults.rig.pipeline import Pipeline

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = 20  # seeded repetitions of each point in the long form
LANES = 4  # pipelines side by side on one broker: while the group of one waits for its dead member, others work


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
async def test_a_kill(pipeline: Pipeline, point: Point, seed: int, outcomes: list[Outcome]) -> None:
    chain = Chain(pipeline)
    outcome = await chain.kill(point, seed)
    await chain.end()
    outcomes.append(outcome)
    outcome.check()


@pytest.mark.faults_long
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
async def test_many_kills(
    kafka: EmbeddedKafka, tmp_path: Path, point: Point, seed: int, outcomes: list[Outcome]
) -> None:
    """A kill that went wrong ends its lane and not the others: the report shows what the rest came to."""
    found: list[Outcome] = []

    async def lane(number: int) -> None:
        async with Pipeline(kafka.bootstrap, tmp_path / str(number)) as pipeline:
            chain = Chain(pipeline)
            found.extend([await chain.kill(point, seed + turn) for turn in range(number, LONG, LANES)])
            await chain.end()

    ended = await asyncio.gather(*map(lane, range(LANES)), return_exceptions=True)
    outcomes += found
    for error in ended:
        if error is not None:
            raise error
    assert len(found) == LONG
    for outcome in found:
        outcome.check()
