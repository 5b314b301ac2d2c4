"""kill -9 of a worker at each point of its work: nothing acknowledged is lost, nothing ends twice."""

from __future__ import annotations

import pytest

from tests.faults.rig.kills import POINTS, Outcome, Point, kill_once
from tests.faults.rig.pipeline import Pipeline

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = 20  # seeded repetitions of each point in the long form


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
async def test_a_kill(pipeline: Pipeline, point: Point, seed: int, outcomes: list[Outcome]) -> None:
    outcome = await kill_once(pipeline, point, seed)
    outcomes.append(outcome)
    outcome.check()


@pytest.mark.faults_long
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
async def test_many_kills(pipeline: Pipeline, point: Point, seed: int, outcomes: list[Outcome]) -> None:
    for turn in range(LONG):
        outcome = await kill_once(pipeline, point, seed + turn)
        outcomes.append(outcome)
        outcome.check()
