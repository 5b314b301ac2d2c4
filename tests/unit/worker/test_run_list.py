"""Lists of runs out of the index: newest first, filtered, paged, and always what the rows say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.run import ENDED, STATUSES, RunSubmitted
from streams import agent
from streams.engine.decision import Decision
from streams.engine.machine import Machine
from streams.engine.messages import Submit
from streams.journal.journal_store import JournalStore
from streams.journal.store_keys import LEDGER
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.tables.agent_stats import AgentStats, agent_stats
from streams.tables.runs import RunRow, runs
from streams.worker.http.approvals import ApprovalPages
from streams.worker.http.run_list import RunListPages
from streams.worker.runs.active_run import ActiveRun
from streams.worker.runs.run_index import RUNS, STATS, RunIndex

CODEC = Codec(FileRegistry(own=[RunRow, AgentStats]))


@agent(concurrency_key="customer")
async def billing(task: dict[str, Any]) -> None:
    """Bill."""


@agent
async def other(task: dict[str, Any]) -> None:
    """Do something else."""


AGENTS = {one.name: one for one in (billing, other)}


class Room:
    """Two partitions whose units are committed as they come, or held for a common transaction."""

    def __init__(self, folder: Path) -> None:
        self.run_index = RunIndex(CODEC, AGENTS)
        self.assignments = [self._assignment(folder, number) for number in range(2)]
        self.lives: dict[str, ActiveRun] = {}
        self.made: list[int] = []  # rows with a changelog, by transaction
        self.held: list[CommitUnit] | None = None  # what is not committed yet, if units are not committed as they come
        self.journal = JournalStore(CODEC)
        proof = SimpleNamespace(assignments=lambda: self.assignments, check=lambda _one: None)
        self.list = RunListPages(cast("Any", proof), self.journal, CODEC)

    def _assignment(self, folder: Path, number: int) -> PartitionAssignment:
        owned = PartitionAssignment(number, {})
        owned.db = db = PartitionDatabase(folder / str(number), StoreOptions())
        owned.stores = {
            LEDGER: PartitionStore(db, LEDGER, "t.journal", number),
            RUNS: PartitionStore(db, RUNS, "t.runs", number, self.run_index.index),
            STATS: PartitionStore(db, STATS, "t.stats", number),
        }
        db.index(owned.stores[RUNS])
        return owned

    def commit(self, unit: CommitUnit) -> None:
        if self.held is None:
            self.commit_all(unit)
        else:
            unit.sealed = True
            self.held.append(unit)

    def commit_all(self, *units: CommitUnit) -> int:
        """Commit units of one assignment together; return how many rows with a changelog that makes."""
        owned = units[0].assignment
        rows, entries = self.run_index.rows(owned, [late for unit in units for late in unit.late])
        assert owned.db is not None
        owned.db.apply([*(write for unit in units for write in unit.writes), *rows, *entries], [])
        for unit in units:
            unit.settle()
        self.made.append(len(rows))
        return len(rows)

    def submit(self, run_id: str, at_ms: int, name: str = "other", parent: str | None = None, **given: Any) -> None:
        owned = self.assignments[len(self.lives) % 2]
        live = self.lives[run_id] = ActiveRun(owned, run_id, Machine(AGENTS[name], run_id, now_ms=at_ms, agents=AGENTS))
        event = RunSubmitted(run_id=run_id, agent=name, input={"task": given} if given else {}, parent=parent)
        decision = live.machine.handle(Submit(event), at_ms)
        unit = CommitUnit(owned)
        for entry in decision.entries:
            self.journal.write(unit, entry)
        self.run_index.changed(live, unit)
        self.commit(unit)

    def move(self, run_id: str, status: str, after_ms: int = 10, due_ms: int | None = None) -> None:
        """Let a run's journal say that it has come to a status; a failed one may resume itself."""
        live = self.lives[run_id]
        journal = live.machine.journal
        journal.decision, journal.now_ms = Decision(), journal.view.updated_ms + after_ms
        if journal.view.status == "queued" and status in ("running", "waiting"):
            journal.append("~started", "started")
        elif journal.view.status in ENDED and status in ("running", "waiting"):
            journal.append(f"~resume/{journal.view.ended}", "resume")
        if status in ENDED:
            number = journal.view.ended + 1
            journal.append(f"~end/{number}", "end", status, attempt=number, due_ms=due_ms)
        elif status == "waiting":
            journal.append("1", "sleep", "sleep", status="scheduled")
        elif journal.view.status == "waiting":
            journal.append("1", "sleep", "sleep", status="fired")
        assert journal.view.status == status
        unit = CommitUnit(live.assignment)
        for entry in journal.decision.entries:
            self.journal.write(unit, entry)
        self.run_index.changed(live, unit)
        self.commit(unit)

    def ask(self, run_id: str, what: str, *, answered: bool = False) -> None:
        """Let a run ask a person, and wait for the answer beside whatever else it does."""
        live = self.lives[run_id]
        journal = live.machine.journal
        journal.decision = Decision()
        asked = {"what": what, "parameters": None, "token": f"token of {what}"}
        journal.append("3", "approval", what, input=asked)
        journal.append("4", "wait", "approval", status="fired" if answered else "scheduled")
        unit = CommitUnit(live.assignment)
        for entry in journal.decision.entries:
            self.journal.write(unit, entry)
        self.run_index.changed(live, unit)
        self.commit(unit)

    def asked(self, limit: int = 100, **query: str) -> list[tuple[str, list[str]]]:
        proof: Any = SimpleNamespace()
        found = ApprovalPages(proof, self.journal)._found(self.assignments, query, limit)
        return [(run["run_id"], [one["what"] for one in run["approvals"]]) for run in found]

    def forget(self, run_id: str) -> None:
        """Delete a run's row, as when its history goes."""
        unit = CommitUnit(self.lives[run_id].assignment)
        self.run_index.forget(unit, run_id)
        self.commit(unit)

    def page(self, limit: int = 100, **query: str) -> list[str]:
        return [run["run_id"] for run in self.list._found(self.assignments, query, limit)]

    def stats(self, name: str) -> AgentStats:
        rows = [owned.stores[STATS].committed(name.encode()) for owned in self.assignments]
        assert agent_stats.merge is not None
        return cast("AgentStats", agent_stats.merge([CODEC.decode(row, AgentStats) for row in rows if row]))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    for owned in made.assignments:
        owned.close()


def test_the_newest_come_first_over_all_partitions_and_pages_join(room: Room) -> None:
    times = {f"run-{number}": 1_000_000 + number // 3 for number in range(20)}
    for run_id, at_ms in times.items():
        room.submit(run_id, at_ms)
    whole = sorted(times, key=lambda run_id: (times[run_id], run_id), reverse=True)
    assert room.page() == whole
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while page := room.list._found(room.assignments, cursor, 3):
        paged += [run["run_id"] for run in page]
        cursor = {"cursor": f"{page[-1]['created_at']}~{page[-1]['run_id']}"}
    assert paged == whole


def test_filters_are_those_of_a_scan(room: Room) -> None:
    chance = random.Random(7)
    for number in range(120):
        name = chance.choice(["billing", "other"])
        customer = chance.choice(["ann", "bob"])
        parent = chance.choice([None, "family"])
        room.submit(f"run-{number:03d}", 5_000_000 + number, name, parent, customer=customer)
        for status in chance.sample(STATUSES[1:], chance.randrange(4)):
            room.move(f"run-{number:03d}", status)
    rows = [
        CODEC.decode(value, RunRow) for owned in room.assignments for _, value in owned.stores[RUNS].scan_committed()
    ]
    for wish in (
        {"status": "failed"},
        {"agent": "billing"},
        {"agent": "other", "status": "running"},
        {"parent": "family", "status": "queued"},
        {"key": "ann"},
        {"key": "bob", "agent": "billing", "status": "succeeded"},
        {"key": "ann", "parent": "family"},
        {"agent": "nobody"},
    ):
        wanted = [row.run_id for row in rows if all(getattr(row, name) == value for name, value in wish.items())]
        assert room.page(200, **wish) == sorted(wanted, reverse=True), wish
    assert room.page(200, since="1970-01-01T01:23:20.110Z") == [f"run-{number}" for number in range(119, 109, -1)]


def test_the_index_can_be_made_anew_from_the_rows(room: Room) -> None:
    for number in range(10):
        room.submit(f"run-{number}", 1_000 + number)
        room.move(f"run-{number}", "running")
    before = [key for owned in room.assignments for key, _ in owned.stores[RUNS].entries.scan_committed()]
    for owned in room.assignments:
        assert owned.db is not None
        owned.db.index(owned.stores[RUNS])
    assert [key for owned in room.assignments for key, _ in owned.stores[RUNS].entries.scan_committed()] == before
    assert room.page(status="running") == [f"run-{number}" for number in range(9, -1, -1)]
    assert room.page(status="queued") == []


def test_runs_that_ask_people_are_found_the_newest_first(room: Room) -> None:
    for number in range(6):
        room.submit(f"run-{number}", 1_000 + number)
        room.move(f"run-{number}", "running")
    room.move("run-0", "waiting")  # for a timer, and for nobody
    room.move("run-4", "waiting")
    for number, answered in ((1, False), (2, True), (3, False), (4, False)):
        room.ask(f"run-{number}", f"ship {number}", answered=answered)
    room.move("run-3", "cancelled")
    assert room.asked() == [("run-4", ["ship 4"]), ("run-1", ["ship 1"])]
    assert room.asked(1) == [("run-4", ["ship 4"])]
    assert room.asked(cursor="1970-01-01T00:00:01.004Z~run-4") == [("run-1", ["ship 1"])]
    assert room.asked(agent="billing") == []


@pytest.mark.parametrize("long_ago", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z"])
def test_a_time_before_all_runs_is_no_failure(room: Room, long_ago: str) -> None:
    room.submit("one", 1_000)
    assert room.page(since=long_ago) == ["one"]
    assert room.page(cursor=f"{long_ago}~x") == []


def test_a_row_goes_with_its_entries(room: Room) -> None:
    room.submit("gone", 1_000, "billing", "family", customer="ann")
    room.forget("gone")
    assert room.page() == []
    assert [key for owned in room.assignments for key, _ in owned.stores[RUNS].entries.scan_committed()] == []


def test_agents_are_counted_as_their_runs_change(room: Room) -> None:
    for number in range(100):
        room.submit(f"run-{number}", 1_000)
        room.move(f"run-{number}", "running", 0)
    for number in range(60):
        room.move(f"run-{number}", "succeeded" if number < 50 else "failed", 10 * (number + 1))
    for number in range(50, 55):
        room.move(f"run-{number}", "running", 1)
    found = room.stats("other")
    assert (found.queued, found.running, found.waiting) == (0, 45, 0)
    assert (found.succeeded, found.failed, found.cancelled) == (50, 10, 0)
    assert found.latency_ms["p50"] == pytest.approx(300, rel=0.03)
    assert found.latency_ms["p99"] == pytest.approx(590, rel=0.03)
    assert (found.latency_ms["max"], found.latency_ms["mean"]) == (600, 305)


def test_what_changes_within_a_transaction_is_one_row_and_all_the_same_to_readers(tmp_path: Path) -> None:
    """Random lives of runs, committed one decision at a time and in groups: rows, entries and counts are equal."""
    chance = random.Random(11)
    single, grouped = Room(tmp_path / "single"), Room(tmp_path / "grouped")
    alive: list[str] = []
    for step in range(40):
        grouped.held = []
        for number in range(chance.randrange(1, 12)):
            act = happening(chance, alive, f"run-{step:02d}-{number:02d}")
            act(single)
            act(grouped)
        held, grouped.held = grouped.held, None
        for owned in grouped.assignments:
            if units := [unit for unit in held if unit.assignment is owned]:
                grouped.commit_all(*units)
        for one, other in zip(single.assignments, grouped.assignments, strict=True):
            assert told(one) == told(other)
    assert sum(grouped.made) < sum(single.made)
    for owned in (*single.assignments, *grouped.assignments):
        owned.close()


def happening(chance: random.Random, alive: list[str], fresh: str) -> Callable[[Room], None]:
    """Return something that happens to a run: it comes, goes or comes to another status."""
    name, parent = chance.choice(["billing", "other"]), chance.choice([None, "family"])
    status, evicted, kind = chance.choice(STATUSES[1:]), chance.random() < 0.3, chance.random()
    if kind < 0.35 or len(alive) < 3:
        alive.append(fresh)
        return lambda room: room.submit(fresh, 5_000 + len(alive), name, parent, customer="ann")
    if kind < 0.45:
        gone = alive.pop(chance.randrange(len(alive)))
        return lambda room: room.forget(gone)
    run_id = chance.choice(alive)

    def moves(room: Room) -> None:
        room.move(run_id, status)
        if evicted:  # what the row says has to be looked up
            room.lives[run_id].shown = None

    return moves


def told(owned: PartitionAssignment) -> list[list[tuple[bytes, bytes]]]:
    """Return all that is committed of runs, and that nothing else is to be seen through the overlay."""
    stores = [owned.stores[name] for name in (LEDGER, RUNS, STATS)]
    assert not any(store.dirty for store in stores)
    return [sorted(store.scan_committed()) for store in (*stores, owned.stores[RUNS].entries)]


def test_a_row_is_a_function_of_the_view(room: Room) -> None:
    room.submit("run", 1_000, "billing", customer="ann")
    view = room.lives["run"].machine.journal.view
    assert CODEC.encode(runs.fn(None, view)) == room.lives["run"].assignment.stores[RUNS].committed(b"run")
