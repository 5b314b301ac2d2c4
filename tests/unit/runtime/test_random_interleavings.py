"""The real committer, assignments, units and stores under random schedules, held to what the log says.

The log is one in memory that fences as a broker does: by the member's epoch. Between any two moves the worker may be
expelled without notice, another one may work meanwhile, a transaction may be aborted, and the process may be killed.
What came out must be what the protocol's model promises: each record counted once with its offset, each run recorded
once, nothing in a store that is not on the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, Final, ParamSpec, TypeVar, cast

import pytest

from streams.runtime.assignment import OFFSET_KEY, PartitionAssignment
from streams.runtime.commit_unit import CommitUnit, Out
from streams.runtime.committer import Committer, LedgerRow
from streams.runtime.errors import MemberRefusedError, TransactionAbortedError
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.partition_store import ChangelogMark
from tests.unit.runtime._fakes import COUNTS, JOURNAL, TOPICS, batch_of, owned_assignment

RECORDS: Final = 40
RUNS: Final = 15  # so that most are submitted more than once
MOVES: Final = 60
ENOUGH: Final = 40  # schedules, of which one at least shows that a rule is off
SOURCE: Final = "t.in"
LEDGER_KEY: Final = OFFSET_KEY + SOURCE.encode()

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[str, bytes, bytes | None]


class Inline(Executor):
    """The commit thread's work done at once, so that a seed repeats a run; `Log.meanwhile` comes in between."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


class Log:
    """Changelogs, the group's offset and its present member; commits are checked against the promises."""

    def __init__(self, random: Random) -> None:
        self.rows: dict[str, list[tuple[bytes, bytes | None]]] = {topic: [] for topic in TOPICS}
        self.offset = 0
        self.epoch = 1
        self.random = random
        self.meanwhile: Callable[[], None] = lambda: None  # between a commit and its answer

    def open(self) -> None:
        return

    def stuck(self) -> bool:
        return False

    def lost(self) -> bool:
        return False

    def commit(
        self,
        outs: Sequence[Out],
        offsets: dict[tuple[str, int], int],
        metadata: object,
        changelogs: frozenset[str],
        *,
        careful: bool = False,
    ) -> dict[tuple[str, int], int]:
        if metadata != self.epoch:
            raise MemberRefusedError("ILLEGAL_GENERATION")
        if self.random.random() < 0.15:
            raise TransactionAbortedError("timed out")
        rows = [(topic, key or b"", value) for topic, value, key, _, _ in outs if topic in changelogs]
        self.write(rows, offsets.get((SOURCE, 0)))
        ends = {(topic, 0): len(self.rows[topic]) for topic, _, _ in rows}
        self.meanwhile()
        return ends

    def write(self, rows: Sequence[Row], offset: int | None) -> None:
        """Make rows and offset true together, or show that they must not be."""
        for topic, key, value in rows:
            if key[:2] in (b"r/", b"s/"):
                assert key not in self.fold(topic), f"{key!r} is recorded twice"
            self.rows[topic].append((key, value))
        if offset is not None:
            assert offset >= self.offset, "an offset went back"
            self.offset = offset
        assert int(self.fold("t.counts").get(b"count", b"0")) == self.offset, "a record counts twice or not at all"

    def fold(self, topic: str, start: int = 0) -> dict[bytes, bytes]:
        return {key: value for key, value in self.rows[topic][start:] if value is not None}


class Worker:
    """One process with the product's parts, and its disk."""

    def __init__(self, log: Log, folder: Path, records: Sequence[str]) -> None:
        self.log = log
        self.folder = folder
        self.records = records
        self.crashes: list[Exception] = []
        self.generation = 0
        self.assignment: PartitionAssignment | None = None
        self.position = 0
        self._begin()

    # -- what the committer asks

    @property
    def snapshot(self) -> GroupSnapshot:
        live = frozenset() if self.assignment is None or not self.assignment.live else frozenset({self.assignment})
        return GroupSnapshot(self.generation, live)

    async def next_snapshot(self) -> None:
        self.poll()

    def release(self, _count: int) -> None:
        return

    def renew(self, old: PartitionAssignment) -> None:
        raise AssertionError(f"{old} is given up, though nothing stands behind another slice's units")

    # -- its life

    def _begin(self) -> None:
        self.committer = Committer(
            self.log,
            self,
            ledger=JOURNAL,
            topic_ids=TOPICS,
            crash=self.crashes.append,
            refused=lambda _unit, error: self.crashes.append(error),
            probe=lambda _stage: None,
        )
        self.committer._thread = cast("ThreadPoolExecutor", Inline())
        self.task = asyncio.create_task(self.committer.run())
        self.poll()

    def poll(self) -> None:
        """Run the callbacks: what was owned under another epoch is lost, and restored under the present one."""
        if self.generation == self.log.epoch:
            return
        if self.assignment is not None:
            self.assignment.kill()
            self.assignment.close()
        self.generation = self.log.epoch
        self.assignment = owned = owned_assignment(self.folder, applied=self.log.offset)
        assert owned.db is not None
        for store in owned.stores.values():
            mark = owned.db.mark(store.name)
            rest = self.log.rows[store.topic][mark.next_offset if mark else 0 :]
            end = ChangelogMark(TOPICS[store.topic], len(self.log.rows[store.topic]), 0)
            owned.db.apply([(store, key, value) for key, value in rest], [(store.name, end)])
        self.position = self.log.offset
        ledger = owned.stores[JOURNAL].committed(LEDGER_KEY)
        assert int(ledger or b"0") == self.log.offset

    async def drain(self) -> None:
        """Wait until all is committed; raises what the committer fails with, at once."""
        draining = asyncio.create_task(self.committer.drain(10))
        await asyncio.wait({draining, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            draining.cancel()
            self.task.result()
        assert await draining

    async def end(self) -> None:
        """Stop the committer wherever it is; how its transaction went is nobody's any more."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if self.committer._work is not None:
            await asyncio.gather(self.committer._work, return_exceptions=True)

    async def die(self) -> None:
        """End as by kill -9 and start again: what was under way is gone, the disk is as it was."""
        await self.end()
        assert self.assignment is not None
        self.assignment.kill()
        self.assignment.close()
        self.assignment = None
        self.log.epoch += 1
        self._begin()

    # -- its handlers

    def intake(self, count: int) -> None:
        owned = self.assignment
        last = min(self.position + count, len(self.records)) - 1
        if owned is None or last < self.position:
            return
        batch = batch_of(owned, self.position, last)
        for at in range(self.position, last + 1):
            take_in(batch, owned, self.records[at])
        self.position = last + 1
        self.committer.add(batch)

    def step(self) -> None:
        """Record a step of each run that is committed and has none."""
        owned = self.assignment
        assert owned is not None
        store = owned.stores[JOURNAL]
        for key, _ in list(store.scan_committed(b"r/")):
            if store.get(b"s/" + key[2:]) is None:
                unit = CommitUnit(owned)
                unit.put(store, b"s/" + key[2:], b"done")
                self.committer.add(unit)

    def check(self) -> None:
        """Hold the stores to the log: they have nothing that it has not."""
        assert self.assignment is not None
        for store in self.assignment.stores.values():
            said = set(self.log.rows[store.topic])
            assert {(key, value) for key, value in store.scan_committed()} <= said
        assert self.crashes == []


def take_in(batch: CommitUnit, owned: PartitionAssignment, run_id: str) -> None:
    """Handle a submission: its run is recorded if it is not known, and it counts in a row."""
    journal, counts = owned.stores[JOURNAL], owned.stores[COUNTS]
    if journal.get(b"r/" + run_id.encode()) is None:
        batch.put(journal, b"r/" + run_id.encode(), b"submitted")
    batch.put(counts, b"count", b"%d" % (int(counts.get(b"count") or b"0") + 1))


def stranger(log: Log, records: Sequence[str], count: int) -> None:
    """Be expelled without notice; let another worker do some records and lose the partition again."""
    for run_id in records[log.offset : log.offset + count]:
        key = b"r/" + run_id.encode()
        rows: list[Row] = [] if key in log.fold("t.journal") else [("t.journal", key, b"submitted")]
        after = log.offset + 1
        rows += [("t.counts", b"count", b"%d" % after), ("t.journal", LEDGER_KEY, b"%d" % after)]
        log.write(rows, after)
    log.epoch += 1


async def move(worker: Worker, random: Random) -> None:
    """Do one of the things that may happen."""
    match random.choices(["intake", "step", "drain", "poll", "stranger", "kill"], [8, 4, 6, 3, 2, 1])[0]:
        case "intake":
            worker.intake(random.randint(1, 4))
        case "step":
            worker.step()
        case "drain":
            await worker.drain()
        case "poll":
            worker.poll()
        case "stranger":
            stranger(worker.log, worker.records, random.randint(0, 2))
        case _:
            await worker.die()
    await asyncio.sleep(0)
    worker.check()


async def finish(worker: Worker) -> None:
    """Let it do what is left."""
    for _ in range(RECORDS):
        if worker.log.offset == RECORDS:
            break
        worker.poll()
        worker.intake(4)
        await worker.drain()
    assert worker.log.offset == RECORDS, "some records were never done"
    worker.step()
    await worker.drain()
    worker.committer.stop()
    await worker.task
    worker.check()


async def scheduled(folder: Path, seed: int, kind: type[Worker] = Worker) -> None:
    """Let what may happen happen, as the seed draws it; AssertionError for a promise that was not kept."""
    random = Random(seed)
    records = [f"run-{random.randrange(RUNS)}" for _ in range(RECORDS)]
    log = Log(random)
    worker = kind(log, folder, records)

    def meanwhile() -> None:
        if random.random() < 0.1:
            stranger(log, records, 1)
            if random.random() < 0.5:
                worker.poll()  # the callbacks run before the store is written

    log.meanwhile = meanwhile
    try:
        for _ in range(MOVES):
            await move(worker, random)
        log.meanwhile = lambda: None
        await finish(worker)
    finally:
        await worker.end()
    assert worker.assignment is not None
    for store in worker.assignment.stores.values():
        assert dict(store.scan_committed()) == log.fold(store.topic)
    runs = {run_id.encode() for run_id in records}
    assert {key[2:] for key in log.fold("t.journal") if key.startswith(b"r/")} == runs
    assert {key[2:] for key in log.fold("t.journal") if key.startswith(b"s/")} == runs


@pytest.mark.parametrize("seed", range(12))
async def test_what_comes_out_is_what_the_model_promises(tmp_path: Path, seed: int) -> None:
    await scheduled(tmp_path, seed)


# Each rule off in turn, in the product's parts themselves: some schedule must show it.


class FreshMetadata(Worker):
    """Takes the member's epoch at the commit, and not together with what is owned (T5 of the model)."""

    @property
    def snapshot(self) -> GroupSnapshot:
        return GroupSnapshot(self.log.epoch, super().snapshot.live)


def keep_the_dead(self: Committer, units: Sequence[CommitUnit], snapshot: GroupSnapshot) -> list[CommitUnit]:
    """Send again what an ended assignment has left."""
    return list(units)


def take_any(self: Committer, snapshot: GroupSnapshot) -> list[CommitUnit]:
    """Ask neither whether an assignment lives nor whether the pair has it."""
    units = list(self._ready)
    self._ready.clear()
    return units


def take_the_last_first(self: Committer, snapshot: GroupSnapshot) -> list[CommitUnit]:
    """Commit in another order than that of the hand-over."""
    units = [self._ready.pop()] if self._ready else []
    return self._alive(units, snapshot)


def forget_the_offsets(
    self: Committer, units: Sequence[CommitUnit]
) -> tuple[dict[tuple[str, int], int], list[LedgerRow]]:
    """Commit the rows without the offsets that they came from."""
    return {}, []


def write_the_store_first(self: Committer, units: Sequence[CommitUnit], snapshot: GroupSnapshot, careful: bool) -> None:
    """Write the rows before it is known whether they are committed."""
    self._write(units, [], {})
    TRANSACT(self, units, snapshot, careful)


def believe_in_a_commit(self: Log, *args: Any, **how: Any) -> dict[tuple[str, int], int]:
    """Take an aborted transaction for one that counts."""
    try:
        return COMMIT(self, *args, **how)
    except TransactionAbortedError:
        return {}


TRANSACT: Final = Committer._transact
COMMIT: Final = Log.commit
Broken = tuple[type[Any], str, Callable[..., Any]]

BROKEN: dict[str, Broken | type[Worker]] = {
    "metadata and assignments are taken together": FreshMetadata,
    "what is dead is not sent again": (Committer, "_alive", keep_the_dead),
    "what is dead enters no transaction": (Committer, "_take", take_any),
    "order of hand-over is order on the log": (Committer, "_take", take_the_last_first),
    "offsets ride with what was made of their records": (Committer, "_offsets", forget_the_offsets),
    "the store holds committed rows only": (Committer, "_transact", write_the_store_first),
    "an aborted transaction is sent again": (Log, "commit", believe_in_a_commit),
}


@pytest.mark.parametrize("rule", BROKEN)
async def test_a_rule_that_is_off_is_found_out(tmp_path: Path, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, kind = BROKEN[rule], Worker
    if isinstance(broken, tuple):
        monkeypatch.setattr(*broken)
    else:
        kind = broken
    for seed in range(ENOUGH):
        try:
            await scheduled(tmp_path / str(seed), seed, kind)
        except AssertionError:
            return
    pytest.fail(f"{ENOUGH} schedules have passed with a rule off: {rule}")
