"""A fork may be made at any entry: also at one that the function makes at once, right behind a recorded answer."""

from __future__ import annotations

import pytest

from schemas.run import RunHistoryGiven, RunSubmitted
from streams import Run, agent
from streams.engine.fork import assembled
from streams.errors import ForkError
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


PIECE = 300_000


def bulk(number: int) -> str:
    return chr(0x100 + number) * PIECE


@agent
async def bulky(count: int, run: Run) -> list[str]:
    found = [await run.step(bulk, number) for number in range(count)]
    return [await run.step(str, len(one), pure=True) for one in found]


@pytest.mark.parametrize("crash", range(4))
def test_a_fork_takes_a_history_that_no_record_takes(crash: int) -> None:
    """The parts and the submission are one unit: whatever is lost, there is the whole fork or none yet."""
    harness = Harness(bulky)
    run_id = harness.submit(bulky, 10)
    harness.run()
    harness.crash_at = frozenset({harness.commits + crash})
    calls = len(harness.calls)
    forked = harness.fork(run_id, "str")
    harness.run()
    assert harness.outcome(forked).value() == [str(PIECE)] * 10
    assert {call.name for call in harness.calls[calls:]} == {"str"}, "what the history holds is not done again"
    parts = [record for record in harness.records("agents") if isinstance(record, RunHistoryGiven)]
    assert len(parts) == 16
    assert max(len(part.text.encode()) for part in parts) < 900_000


def test_a_submission_without_the_whole_of_its_history_is_refused() -> None:
    event = RunSubmitted(run_id="r", agent="bulky", history_parts=2)
    with pytest.raises(ForkError, match="1 of 2"):
        assembled(event, ["[", None])
