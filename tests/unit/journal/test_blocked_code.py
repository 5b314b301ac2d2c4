"""Rows about blocked loops: counted over workers, by whoever owns the partition, and gone with the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams import Run, agent
from streams.engine.machine import Machine
from streams.engine.messages import ResumeAsked
from streams.journal.blocked_code import MOST_BLOCKS, BlockedCode
from streams.journal.store_keys import BLOCKED_CODE
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from tests.unit.engine.test_machine import stored, submitted
from tests.unit.runtime._fakes import owned_assignment


def _rows(owned: PartitionAssignment, name: str, count: int) -> None:
    """Write what monitors of other processes have written."""
    store = owned.stores["journal"]
    what = json.dumps({"what": "agent", "where": "/app/agents.py:7 in work", "seconds": 60.0}).encode()
    store.db.apply([(store, BLOCKED_CODE + f"{name}/{number}".encode(), what) for number in range(count)], [])


@pytest.mark.parametrize("blocks", range(MOST_BLOCKS + 2))
def test_a_run_and_an_event_are_given_up_after_three_times(tmp_path: Path, blocks: int) -> None:
    owned = owned_assignment(tmp_path)
    _rows(owned, "run/r-1", blocks)
    _rows(owned, "event/events/7/count", blocks)
    _rows(owned, "run/r-10", 1)
    known = BlockedCode()
    known.restored(owned)
    for why in (known.refuses_run(owned, "r-1"), known.refuses_event(owned, "events/7/count")):
        assert (why is not None) == (blocks >= MOST_BLOCKS)
        if why is not None:
            assert f"{blocks} times, the last time for 60 s at /app/agents.py:7 in work" in str(why)
    assert known.refuses_run(owned, "r-10") is None
    assert known.refuses_run(owned, "r") is None


def test_the_end_of_a_run_deletes_its_rows_and_it_is_counted_anew(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    _rows(owned, "run/r-1", MOST_BLOCKS)
    known = BlockedCode()
    known.restored(owned)
    unit = CommitUnit(owned)
    known.run_ended("r-1", unit)
    assert [value for _, _, value in unit.writes] == [None] * MOST_BLOCKS
    assert known.refuses_run(owned, "r-1") is None
    owned.kill()


def test_a_run_that_is_failed_at_its_restore_is_not_called_and_can_be_resumed() -> None:
    calls: list[int] = []

    @agent(auto_resume=5)
    async def work(run: Run) -> int:
        calls.append(1)
        return await run.step(int)

    machine, begun = submitted(work)
    machine.drop()
    again = Machine(work, "r")
    failed = again.restore_failed(stored(begun), RuntimeError("blocked"), 2_000)
    assert (failed.ended, calls) == ("failed", [1])
    assert failed.timers == []  # it waits for somebody
    assert failed.outputs[0].event.error["message"] == "blocked"  # type: ignore[attr-defined]
    resumed = again.handle(ResumeAsked("x"), 3_000)
    assert (len(resumed.perform), calls) == (1, [1, 1])
