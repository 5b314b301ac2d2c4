"""What a restarted worker goes on with: by the rows of `runs` the same as by all journals, nothing that has ended."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.run import ENDED
from streams.journal.journal_store import JournalStore
from streams.journal.store_keys import LEDGER
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.partition_store import ChangelogMark
from streams.worker.runs.run_index import RUNS
from streams.worker.runs.run_metrics import RunMetrics
from streams.worker.runs.run_recovery import RunRecovery
from tests.unit.worker.test_run_list import AGENTS, CODEC, Room

Found = tuple[set[str], set[str], set[tuple[str, str, int]]]
"""Runs that go on, runs that are queued, timers."""


class Counting(JournalStore):
    """A journal that counts the runs whose entries were read."""

    read = 0

    def runs(self, *given: Any) -> Any:
        for one in super().runs(*given):
            self.read += 1
            yield one

    def committed(self, owned: PartitionAssignment, run_id: str) -> Any:
        self.read += 1
        return super().committed(owned, run_id)


class Restarts:
    """Restarts a room and notes what its worker would go on with."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.read = 0

    async def __call__(self) -> Found:
        revived: set[str] = set()
        queued: set[str] = set()
        timers: set[tuple[str, str, int]] = set()
        journal = Counting(CODEC)
        reload = RunRecovery(
            AGENTS,
            journal,
            cast("Any", SimpleNamespace(revive=lambda _owned, run: revived.add(run), forget=_nothing)),
            cast("Any", SimpleNamespace(enqueue=lambda _owned, view: queued.add(view.run_id))),
            cast("Any", SimpleNamespace(add=lambda _owned, run, timer: timers.add((run, timer.path, timer.due_ms)))),
            run_index=self.room.run_index,
            committer=cast("Any", SimpleNamespace(add=self.room.commit)),
            metrics=RunMetrics(),
        )
        for owned in self.room.assignments:
            await reload(owned)
        self.read = journal.read
        return revived, queued, timers


def _nothing(*_: Any) -> None:
    return


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    for owned in made.assignments:
        assert owned.db is not None
        owned.db.apply([], [(name, ChangelogMark(f"id-{name}", 1, 0)) for name in (LEDGER, RUNS)])
    yield made
    for owned in made.assignments:
        owned.close()


@pytest.fixture
def restart(room: Room) -> Restarts:
    return Restarts(room)


def history(room: Room, count: int, seed: int = 1) -> None:
    draw = random.Random(seed)
    for number in range(count):
        name = f"r{number}"
        room.submit(name, number, draw.choice(["other", "billing"]), customer="c")
        for status in draw.choice([(), ("running",), ("running", "waiting"), ("running", "succeeded")]):
            room.move(name, status)
        if room.lives[name].machine.journal.view.status not in ENDED and draw.random() < 0.3:
            room.move(name, "failed", due_ms=draw.choice([None, 5_000]))
            if draw.random() < 0.3:
                room.move(name, "running")


@pytest.mark.parametrize("seed", range(5))
async def test_the_rows_find_what_the_journals_hold(room: Room, restart: Restarts, seed: int) -> None:
    history(room, 120, seed)
    by_journals = await restart()
    assert restart.read == 120
    by_rows = await restart()
    assert by_rows == by_journals
    assert all(by_rows)
    statuses = {name: live.machine.journal.view.status for name, live in room.lives.items()}
    assert restart.read == sum(one not in ENDED for one in statuses.values()) + len(resuming(by_rows))
    assert by_rows[0] == {name for name, status in statuses.items() if status == "running"}
    assert by_rows[1] == {name for name, status in statuses.items() if status == "queued"}


def resuming(found: Found) -> set[str]:
    return {run for run, path, _ in found[2] if path.startswith("~end/")}


async def test_a_failed_run_that_resumes_itself_has_its_timer_after_a_restart(room: Room, restart: Restarts) -> None:
    """Without it the run, and whoever called it, would wait for ever."""
    for name, due_ms in (("a", 5_000), ("b", None)):
        room.submit(name, 1)
        room.move(name, "running")
        room.move(name, "failed", due_ms=due_ms)
    for _ in range(2):
        assert (await restart())[2] == {("a", "~end/1", 5_000)}


async def test_a_journal_without_its_row_gets_one_and_all_are_looked_at_until_none_lacks(
    room: Room, restart: Restarts
) -> None:
    history(room, 20)
    owned = room.assignments[0]
    assert owned.db is not None
    owned.db.apply([(owned.stores[RUNS], b"r0", None)], [])
    first = await restart()
    assert owned.stores[RUNS].committed(b"r0") is not None
    second = await restart()
    assert restart.read > 10, "one partition lacked a row, and is looked through again"
    assert await restart() == second == first
    assert restart.read < 20


async def test_another_changelog_is_looked_through_again(room: Room, restart: Restarts) -> None:
    history(room, 20)
    await restart()
    for owned in room.assignments:
        assert owned.db is not None
        owned.db.apply([], [(RUNS, ChangelogMark("anew", 1, 0))])
    await restart()
    assert restart.read == 20
