"""A fork may be made at any entry: also at one that the function makes at once, right behind a recorded answer."""

from __future__ import annotations

import pytest

from streams import Run, agent
from streams.testing import Harness


def same(number: int) -> int:
    return number


@agent
async def staged(number: int, run: Run) -> int:
    first = await run.step(same, number)
    await run.progress("half", 50)
    async with run.stage("SECOND"):
        return await run.step(same, first + 1)


@pytest.mark.parametrize("at", range(3, 8))
def test_a_fork_at_any_entry_ends_as_the_run_did(at: int) -> None:
    harness = Harness(staged)
    run_id = harness.submit(staged, 1)
    harness.run()
    forked = harness.fork(run_id, at)
    harness.run()
    assert (harness.status(forked), harness.outcome(forked).result) == ("succeeded", 2)
