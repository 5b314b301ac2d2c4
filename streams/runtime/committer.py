"""Group commit: whatever became ready since the last transaction is the next one.

Transactions go back to back, one at a time; what arrives while one is under way is the next group, so a lone unit waits
for nobody and thousands share one. A transaction is never held open to wait for more, because it holds back every
read_committed reader of the partitions that it touches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.metrics import TRANSACTION_SECONDS, Observations
from streams.runtime.assignment import OFFSET_KEY
from streams.runtime.commit_unit import CommitUnit, Write
from streams.runtime.errors import (
    DeadAssignmentError,
    MemberRefusedError,
    MembershipLostError,
    OutcomeUnknownError,
    RecordRefusedError,
    TransactionAbortedError,
    TransactionStuckError,
)
from streams.runtime.member_refusals import MemberRefusals
from streams.runtime.partition_store import ChangelogMark, DeferredRow

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_protocols import AssignmentOwner, Transactor
    from streams.runtime.group_snapshot import GroupSnapshot

log = logging.getLogger(__name__)


MAX_RECORDS: Final = 10_000  # of one transaction; a unit is never split
MAX_BYTES: Final = 8 * 1024 * 1024
PROOF_S: Final = (
    2.0  # a third of the shortest session: how old the last accepted transaction may be when an effect starts
)
_LOOK_S: Final = 0.25  # how often it is asked whether the library hangs
_ABORTS: Final = 8  # of one unit alone for no record; with the pauses between them they take twelve seconds or more
_PAUSE_S: Final = 0.1  # doubled with each, up to the last
_LAST_PAUSE_S: Final = 5.0
IDLE_S: Final = 1.0  # an idle worker proves its ownership this often

_TURNS: Final = 16  # of the loop, at most, that a transaction is begun later to take along what is about to be ready
_TURNS_S: Final = 0.002  # the same in seconds

LedgerRow = tuple["PartitionAssignment", Write]
Rows = Callable[["PartitionAssignment", Sequence[DeferredRow]], tuple[list[Write], list[Write]]]
"""Makes rows of changes in their order: those that have a changelog, and those that only the store has."""


class Committer:
    """Commit sealed units in order and in groups, then write the stores and run the callbacks of the units."""

    def __init__(
        self,
        transactions: Transactor,
        owner: AssignmentOwner,
        *,
        ledger: str,
        topic_ids: Mapping[str, str],
        crash: Callable[[Exception], None],
        refused: Callable[[CommitUnit, Exception], None],
        probe: Callable[[str], None],
        rows: Rows = lambda _assignment, _changes: ([], []),
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Commit for `owner`; `ledger` is the store that has the applied offsets; `crash` ends the process.

        `topic_ids` has the changelog of each store once `run` begins: rows are marked with the topic they come from.
        `rows` makes the rows of what the units of an assignment change late, given what is committed (commit thread).
        `busy` says whether something is under way that will be ready in a turn or two of the loop.
        """
        self._rows = rows
        self._busy = busy
        self._transactions = transactions
        self._owner = owner
        self._ledger = ledger
        self._topic_ids = topic_ids
        self._crash = crash
        self._refused = refused
        self._probe = probe
        self._ready: deque[CommitUnit] = deque()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streams-commit")
        self._stopping = False
        self._work: asyncio.Future[None] | None = None
        self._between: list[Callable[[], None]] = []
        self.accepted_at = -PROOF_S  # begin of the last accepted transaction; counts on while the machine sleeps
        self._refusals = MemberRefusals()
        self.commits = 0
        self.aborts = 0
        self.refused_records = 0
        self.records = 0
        self.seconds = Observations(TRANSACTION_SECONDS)

    # -- for those who make units

    def add(self, unit: CommitUnit) -> None:
        """Hand over a unit; it is sealed by that. Order of hand-over is order on the log."""
        unit.sealed = True
        if not unit.assignment.live:
            self._drop(unit)
            return
        self._ready.append(unit)
        self._quiet.clear()
        self._wake.set()
        for callback in unit.on_add:
            callback()

    def proven(self) -> bool:
        """Return whether the last accepted transaction is young enough for an outside effect to start."""
        return clock.boottime() - self.accepted_at < PROOF_S

    def between(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop at a moment when no transaction is under way."""
        self._between.append(callback)
        self._quiet.clear()
        self._wake.set()

    @property
    def at_work(self) -> bool:
        """Return whether the commit thread is in a transaction; a process that ends by itself would wait for it."""
        return self._work is not None and not self._work.done()

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing is ready or under way, at most `seconds`; return whether that was reached."""
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    # -- the loop

    def stop(self) -> None:
        """End `run` once it is idle."""
        self._stopping = True
        self._wake.set()

    async def open(self) -> None:
        """Fence a predecessor in this slot; waits for the broker as long as it takes."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._transactions.open)

    async def run(self) -> None:
        """Commit until `stop`; an unknown outcome or a lost membership ends the process through `crash`."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wait()
                while self._between:
                    self._between.pop(0)()
                if self._stopping and not self._ready:
                    return
                await self._round(loop)
        except (MembershipLostError, OutcomeUnknownError, TransactionStuckError) as error:
            self._crash(error)
        finally:
            self._thread.shutdown(wait=False)

    async def _wait(self) -> None:
        if self._ready or self._between or self._stopping:
            return
        self._quiet.set()
        self._wake.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self._wake.wait()
        except TimeoutError:
            self._prove()

    def _prove(self) -> None:
        """Queue an empty unit: its transaction carries current offsets and so proves that this worker owns them."""
        for owned in self._owner.snapshot.live:
            if owned.ready:
                self.add(CommitUnit(owned))
                return

    async def _gather(self) -> None:
        """Let what is computed without waiting for anything go on a little: it saves a transaction of its own."""
        end = clock.monotonic() + _TURNS_S
        for _ in range(_TURNS):
            if not self._busy() or clock.monotonic() > end:
                return
            await asyncio.sleep(0)

    async def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        await self._gather()
        snapshot = self._owner.snapshot
        units = self._take(snapshot)
        if not units:
            if self._ready:
                await self._owner.next_snapshot()
            return
        await self._commit(loop, units, snapshot)

    def _take(self, snapshot: GroupSnapshot) -> list[CommitUnit]:
        """Take the longest head run that fits a transaction and whose assignments are in `snapshot`."""
        units: list[CommitUnit] = []
        records = size = 0
        ready = self._ready
        while ready:
            unit = ready[0]
            if not self._stands(unit):
                self._drop(ready.popleft())
                continue
            if unit.assignment not in snapshot.live:
                break  # assigned a moment ago: the next snapshot has it
            records += len(unit.outs) + len(unit.late)
            size += unit.size
            if units and (records > MAX_RECORDS or size > MAX_BYTES):
                break
            units.append(ready.popleft())
        return units

    async def _commit(self, loop: asyncio.AbstractEventLoop, units: list[CommitUnit], snapshot: GroupSnapshot) -> None:
        """Commit `units`; a refusal is narrowed down to its unit by halves, in order."""
        careful, alone = False, 0
        while True:
            began = clock.boottime()
            try:
                await self._watched(loop.run_in_executor(self._thread, self._transact, units, snapshot, careful))
            except MemberRefusedError as error:
                self.aborts += 1
                units, snapshot = await self._still_ours(units, error)
            except TransactionAbortedError as error:
                self.aborts += 1
                log.info("transaction aborted (%s); sending again", error)
                half, alone = len(units) // 2, alone + (len(units) == 1)
                await (self._commit(loop, units[:half], snapshot) if half else self._wait_again(alone, error))
                snapshot = self._owner.snapshot
                units = self._alive(units[half:], snapshot)
                careful = len(units) == 1
            except RecordRefusedError as error:
                self.refused_records += 1
                self._refuse(units[0], error)
                return
            except DeadAssignmentError:  # before anything was sent
                units = self._alive(units, snapshot)
            else:
                self.accepted_at = began
                self._refusals.over()
                self._settle(units)
                return
            if not units:
                return

    async def _still_ours(
        self, units: Sequence[CommitUnit], error: MemberRefusedError
    ) -> tuple[list[CommitUnit], GroupSnapshot]:
        """Wait for the consumer's callbacks after a refusal; raises MembershipLostError when they do not come."""
        pause = self._refusals.another(error)
        log.info("refused as a group member (%s); sending what is still ours again", error)
        await asyncio.sleep(pause)
        await self._owner.next_snapshot()
        snapshot = self._owner.snapshot
        remaining = self._alive(units, snapshot)
        if len(remaining) < len(units):
            self._refusals.over()  # the callbacks came: a refusal of what is left is another matter
        return remaining, snapshot

    async def _wait_again(self, aborts: int, error: TransactionAbortedError) -> None:
        """Allow the cluster more time with each abort of one unit; raises TransactionStuckError when that was no help.

        No record is to blame, so no dead letter would be true, and to go on without the unit would lose it.
        """
        if aborts >= _ABORTS:
            raise TransactionStuckError(
                f"one unit's transaction was aborted {aborts} times in a row, and not for a record of it ({error}): "
                "see whether all partitions have a leader and enough replicas in sync; this worker ends, to be started "
                "again"
            )
        if aborts > 1:  # the first one may be for a record: the next try, a careful one, shows it
            await asyncio.sleep(min(_PAUSE_S * 2 ** (aborts - 1), _LAST_PAUSE_S))

    async def _watched(self, work: asyncio.Future[None]) -> None:
        """Wait for the commit thread, but not for ever: raises OutcomeUnknownError when the library hangs."""
        self._work = work
        while not (await asyncio.wait({work}, timeout=_LOOK_S))[0]:
            if self._transactions.stuck():
                raise OutcomeUnknownError(
                    "a transaction takes longer than it may be open: a coordinator is away, or the client library "
                    "waits for one that is no more; this worker ends, to be started again, and reads the outcome from "
                    "the log"
                )
            if await asyncio.to_thread(self._transactions.lost):
                raise OutcomeUnknownError(
                    "the producer has lost the brokers for good, while a new client reaches them: this worker ends, "
                    "to be started again, and reads the outcome from the log"
                )
        await work

    def _alive(self, units: Sequence[CommitUnit], snapshot: GroupSnapshot) -> list[CommitUnit]:
        remaining = []
        for unit in units:
            if self._stands(unit) and unit.assignment in snapshot.live:
                remaining.append(unit)
            else:
                self._drop(unit)
        return remaining

    def _stands(self, unit: CommitUnit) -> bool:
        """Return whether a unit may be committed; if the unit below it is lost, its assignment is read again."""
        if unit.behind is not None and unit.behind.lost and unit.assignment.live:
            unit.assignment.kill()
            self._owner.renew(unit.assignment)
        return unit.assignment.live

    # -- in the commit thread

    def _transact(self, units: Sequence[CommitUnit], snapshot: GroupSnapshot, careful: bool) -> None:
        offsets, ledger = self._offsets(units)
        unlogged = self._late(units, ledger)
        outs = [out for unit in units for out in unit.outs]
        outs += [(store.topic, value, key, store.partition, None) for _, (store, key, value) in ledger]
        changelogs = frozenset(self._topic_ids)
        began = clock.monotonic()
        ends = self._transactions.commit(outs, offsets, snapshot.metadata, changelogs, careful=careful)
        self.commits += 1
        self.records += len(outs)
        self._write(units, ledger + unlogged, ends)
        self.seconds.observe(clock.monotonic() - began)
        self._probe("stored")

    def _late(self, units: Sequence[CommitUnit], ledger: list[LedgerRow]) -> list[LedgerRow]:
        """Add the rows that units change late to `ledger`; return those that no changelog has."""
        changes: dict[PartitionAssignment, list[DeferredRow]] = {}
        for unit in units:
            if unit.late:
                changes.setdefault(unit.assignment, []).extend(unit.late)
        unlogged: list[LedgerRow] = []
        for owned, of_assignment in changes.items():
            with owned.guard:  # its database is closed in the event loop as soon as it has died
                if not owned.live:
                    raise DeadAssignmentError(f"partition {owned.partition} moved to another worker")
                rows, entries = self._rows(owned, of_assignment)
            ledger += [(owned, row) for row in rows]
            unlogged += [(owned, row) for row in entries]
        return unlogged

    def _offsets(self, units: Sequence[CommitUnit]) -> tuple[dict[tuple[str, int], int], list[LedgerRow]]:
        """Return the offsets that fence each assignment touched, and their rows for the ledger where one moved."""
        offsets: dict[tuple[str, int], int] = {}
        moved: dict[tuple[str, int], PartitionAssignment] = {}
        for unit in units:
            if (move := unit.moves()) is not None:
                place = (move[0], unit.assignment.partition)
                offsets[place] = max(move[1], offsets.get(place, 0))
                moved[place] = unit.assignment
        fenced = {number for _, number in offsets}
        for unit in units:
            if unit.assignment.partition not in fenced:
                fenced.add(unit.assignment.partition)
                source = unit.assignment.fence()
                offsets[source.topic, unit.assignment.partition] = max(source.applied, 0)
        rows: list[LedgerRow] = []
        for (topic, number), owned in moved.items():
            if (store := owned.stores.get(self._ledger)) is not None:
                rows.append((owned, (store, OFFSET_KEY + topic.encode(), b"%d" % offsets[topic, number])))
        return offsets, rows

    def _write(
        self, units: Sequence[CommitUnit], ledger: Sequence[LedgerRow], ends: dict[tuple[str, int], int]
    ) -> None:
        """Write each live assignment's committed rows and marks; what died meanwhile reads them from the changelog."""
        by_assignment: dict[PartitionAssignment, list[Write]] = {}
        for unit in units:
            by_assignment.setdefault(unit.assignment, []).extend(unit.writes)
        for owned, row in ledger:
            by_assignment[owned].append(row)
        now = clock.now_ms()
        for owned, writes in by_assignment.items():
            if not writes:
                continue
            marks = [
                (store.name, ChangelogMark(self._topic_ids[store.topic], end, now))
                for store in owned.stores.values()
                if (end := ends.get((store.topic, owned.partition))) is not None
            ]
            with owned.guard:
                if owned.live and owned.db is not None:
                    owned.db.apply(writes, marks)

    # -- back in the event loop

    def _settle(self, units: Sequence[CommitUnit]) -> None:
        for unit in units:
            unit.settle(committed=True)
            if (move := unit.moves()) is not None:
                unit.assignment.sources[move[0]].advance(move[1])
            if weight := unit.weight():
                self._owner.release(weight)
            for callback in unit.on_commit:
                callback()
            unit.release()

    def _refuse(self, unit: CommitUnit, error: Exception) -> None:
        unit.settle(committed=False)
        if weight := unit.weight():
            self._owner.release(weight)
        if unit.on_refuse is not None:
            unit.on_refuse(error)  # it stood alone
            return
        # What came after it in its assignment may rest on it: the assignment ends here and is read again without the
        # culprit.
        unit.assignment.kill()
        self._refused(unit, error)

    def _drop(self, unit: CommitUnit) -> None:
        """Forget a unit whose assignment ended: its records come again to the next owner."""
        unit.settle(committed=False)
        if weight := unit.weight():
            self._owner.release(weight)
        if unit.on_refuse is not None:
            unit.on_refuse(DeadAssignmentError(f"partition {unit.assignment.partition} moved to another worker"))
