"""What a restored assignment goes on with: each run as its journal has it, and of a finished one its end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pydantic import BaseModel

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams import Run, agent
from streams.engine.decision import Timer
from streams.engine.entry import Entry
from streams.engine.view import RunView
from streams.journal.journal_store import JournalStore
from streams.journal.store_keys import LEDGER
from streams.runtime.partition_store import PartitionStore
from streams.testing import Harness
from streams.worker.runs.run_index import RUNS
from streams.worker.runs.run_metrics import RunMetrics
from streams.worker.runs.run_recovery import RunRecovery
from tests.unit.runtime._fakes import owned_assignment


class Task(BaseModel):
    seconds: float = 0


@agent(auto_resume=2, after=60.0)
async def stubborn(task: Task, run: Run) -> None:
    """Fail each time."""
    del task, run
    raise RuntimeError("no")


@agent
async def frail(task: Task, run: Run) -> None:
    """Fail."""
    del task, run
    raise RuntimeError("no")


@agent
async def sleepy(task: Task, run: Run) -> str:
    """Sleep for a while, if any."""
    if task.seconds:
        await run.sleep(task.seconds)
    return "done"


class Room:
    """An assignment with the journals of runs, and what came back of them."""

    def __init__(self, folder: Path, harness: Harness) -> None:
        self.owned = owned_assignment(folder)
        db = self.owned.db
        assert db is not None
        self.owned.stores[RUNS] = PartitionStore(db, RUNS, "t.runs", 0)
        self.owned.stores[LEDGER] = PartitionStore(db, LEDGER, "t.journal", 0)
        self.decoded: list[str] = []
        self.timers: list[tuple[str, Timer]] = []
        self.queued: list[str] = []
        self.revived: list[str] = []
        self.journal = JournalStore(Codec(FileRegistry()))
        store = self.owned.stores[LEDGER]
        for run_id in harness.run_ids:
            rows = [self.journal.encode(entry) for entry in harness.entries(run_id)]
            db.apply([(store, *row) for row in rows], [])
            db.apply([(self.owned.stores[RUNS], run_id.encode(), b"listed")], [])
        read = self.journal.decode

        def decode(row: bytes) -> Entry:
            entry = read(row)
            self.decoded.append(f"{entry.run_id}{entry.path}")
            return entry

        self.journal.decode = decode  # type: ignore[method-assign]
        self.agents = harness.agents

    async def reload(self) -> None:
        await RunRecovery(
            self.agents,
            self.journal,
            cast("Any", SimpleNamespace(revive=lambda _owned, run_id: self.revived.append(run_id))),
            cast("Any", SimpleNamespace(enqueue=self._enqueue)),
            cast("Any", SimpleNamespace(add=lambda _owned, run_id, timer: self.timers.append((run_id, timer)))),
            run_index=cast("Any", None),
            committer=cast("Any", None),
            metrics=RunMetrics(),
        )(self.owned)

    def _enqueue(self, _owned: object, view: RunView) -> None:
        self.queued.append(view.run_id)


async def test_a_failed_run_that_resumes_itself_is_resumed_after_a_restart_too(tmp_path: Path) -> None:
    harness = Harness()
    harness.submit(stubborn, Task(), run_id="first")
    harness.submit(stubborn, Task(), run_id="second")
    harness.settle()
    due = harness.entries("first")[-1].due_ms
    harness.advance(61)  # both have failed twice now
    room = Room(tmp_path, harness)
    await room.reload()
    later = harness.entries("first")[-1].due_ms
    assert due is not None
    assert later is not None
    assert later > due
    assert room.timers == [("first", Timer("~end/2", later)), ("second", Timer("~end/2", later))]
    assert (room.queued, room.revived) == ([], [])


async def test_of_a_run_that_is_over_only_a_failed_end_is_read(tmp_path: Path) -> None:
    harness = Harness()
    harness.submit(frail, Task(), run_id="failed")
    harness.submit(sleepy, Task(), run_id="succeeded")
    harness.submit(sleepy, Task(seconds=5), run_id="waits")
    harness.settle()
    room = Room(tmp_path, harness)
    await room.reload()
    assert [run_id for run_id, _ in room.timers] == ["waits"]
    assert [one for one in room.decoded if not one.startswith("waits")] == ["failed~end/1"]
