"""One schedule on the assignment that owns it: looks at the clock, runs the function, makes each slot one unit.

A slot is in the committed row before its function starts, and leaves it in the unit of its tick and of what the
function returned. So the next owner fires what this one has begun, and what it has fired it cannot fire again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.signal import CancelRequested
from streams import clock
from streams.define.policies import Reject, RetryPolicy, asked_pause
from streams.engine.ids import seeded, slot_id
from streams.engine.slots import Slots, look
from streams.engine.starts import listed
from streams.error_text import error_message
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit
from streams.tools._threads import in_thread
from streams.user_code import awaited, called, is_cancelled, user_code_exit
from streams.user_code import cancel as stop_task
from streams.worker.schedules.backfills import Backfills, Fired
from streams.worker.schedules.overlap import turn
from streams.worker.schedules.schedule_state import CLOCK, DueSlot, ScheduleProgress, state_key
from streams.worker.schedules.slot_outputs import REDRIVE, write_letter, write_outputs, write_tick

if TYPE_CHECKING:
    from schemas.schedule import ScheduleRun
    from streams.define.schedules import Schedule
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer
    from streams.runtime.tasks import BackgroundTasks

log = logging.getLogger(__name__)


POLICY: Final = RetryPolicy(attempts=3, first=1.0, cap=30.0)
LIMIT_S: Final = 900.0  # after that a function counts as hanging
MOST_WAITING: Final = 1000  # slots that wait for their turn; more are skipped
_LOOK_S: Final = 5.0  # the longest rest, so that a clock that was set is noticed


@dataclass(frozen=True, slots=True)
class ScheduleDependencies:
    """What keepers need of their worker."""

    tasks: BackgroundTasks
    writer: RecordWriter
    committer: Committer


class ScheduleRunner:
    """Runs one schedule while its assignment lives."""

    def __init__(
        self,
        parts: ScheduleDependencies,
        owned: PartitionAssignment,
        schedule: Schedule,
        slots: Slots,
        state: ScheduleProgress | None,
        fired: Fired,
    ) -> None:
        """Go on from the committed `state`; None for a schedule that is new on this log.

        `fired` finds the slots of the past that are on the log; it blocks.
        """
        self._parts = parts
        self._owned = owned
        self.schedule = schedule
        self.slots = slots
        self.new = state is None
        self.state = state or ScheduleProgress(schedule.name, clock.now_ms())
        self._unreported = 0  # missed slots that were not reported yet
        self._promised: list[DueSlot] = []  # slots that the next row holds for the first time
        self._moved = asyncio.Event()  # there is a reason to look before the time
        self._cancelled: set[str] = set()  # runs that were asked to end
        self._task: asyncio.Task[None] | None = None
        self.backfills = Backfills(self, parts.tasks, fired)

    def begin(self) -> None:
        """Work until `forget`."""
        self._task = self._parts.tasks.spawn(self._run())

    def forget(self) -> None:
        """Stop everything: the assignment is dead, and what was begun is its next owner's."""
        self.backfills.forget()
        for task in (self._task, *(entry.task for entry in self.state.waiting)):
            if task is not None:
                stop_task(task)

    def next_slot(self) -> int | None:
        """Return the next slot that will be looked at, None when there is none or the schedule is paused."""
        return None if self.state.paused else self.slots.next(self.state.cursor_ms)

    # -- the clock

    async def _run(self) -> None:
        if self.new:  # slots count from the moment when the schedule was first seen
            self.save()
        while self._owned.live:
            self._moved.clear()
            now = clock.now_ms()
            if not self.state.paused and self._look(now):
                await asyncio.sleep(0)  # a long gap is decided in pieces
                continue
            self.backfills.resume()
            self.pump()
            await self._rest(self._until())

    def _look(self, now_ms: int) -> bool:
        """Decide the slots whose time has come; return whether there may be more of them."""
        state = self.state
        found = look(self.slots, state.cursor_ms, now_ms)
        if found.cursor_ms == state.cursor_ms:
            return found.more
        state.cursor_ms = found.cursor_ms
        state.missed += found.missed
        self._unreported += found.missed
        if self._unreported and not found.more:
            log.warning(
                "schedule %s: %s slots were missed for too long and are skipped", state.schedule, self._unreported
            )
            self._unreported = 0
        room = max(MOST_WAITING - len(state.waiting), 0)
        state.skipped += max(len(found.due) - room, 0)
        self.promise([DueSlot(slot_id(state.schedule, slot), slot) for slot in found.due[:room]])
        self.save()
        return found.more

    def _until(self) -> float:
        """Return the seconds until something is due: slots by the wall clock, attempts after so long."""
        following, now_ms = self.next_slot(), clock.steady_ms()
        waits = [entry.due_ms - now_ms for entry in self.state.waiting if entry.due_ms > now_ms]
        if following is not None:
            waits.append(self.slots.due(following) - clock.now_ms())
        return max(min(waits), 0) / 1000 if waits else _LOOK_S

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, _LOOK_S)):
                await self._moved.wait()
        except TimeoutError:
            return

    # -- the row

    def promise(self, entries: list[DueSlot]) -> None:
        """Add slots that are to fire; they start once the row that is written next is committed."""
        self.state.waiting += entries
        self._promised += entries

    def save(self, unit: CommitUnit | None = None) -> None:
        """Write the row into `unit`, or into one of its own."""
        entries, self._promised = self._promised, []
        target = unit or CommitUnit(self._owned)
        row = self._parts.writer.codec.encode(self.state.row())
        target.put(self._owned.stores[LEDGER], state_key(self.state.schedule), row)
        if entries:
            target.on_commit.append(lambda: self._committed(entries))
        if unit is None:
            self._parts.committer.add(target)

    async def settled(self) -> None:
        """Wait until all that was written so far is committed; never returns on a dead assignment."""
        done, proof = asyncio.Event(), CommitUnit(self._owned)
        proof.on_commit.append(done.set)
        self._parts.committer.add(proof)
        await done.wait()

    def _committed(self, entries: list[DueSlot]) -> None:
        for entry in entries:
            entry.durable = True
        self.pump()

    def changed(self) -> None:
        """Look again now."""
        self._moved.set()

    # -- functions

    def pump(self) -> None:
        """Start what may start, skip what overlaps."""
        if not self._owned.live:
            return
        made = turn(self.state, self.schedule.overlap, clock.steady_ms())
        if made.stop is not None and made.stop.task is not None and not made.stop.stopped:
            made.stop.stopped = True
            stop_task(made.stop.task)
        cancel = [run for run in made.cancel if run.run_id not in self._cancelled]
        if made.drop or cancel:
            self._give_up(made.drop, cancel)
        for entry in made.start:
            if entry.durable:
                self._start(entry)

    def _give_up(self, dropped: list[DueSlot], cancel: list[ScheduleRun]) -> None:
        unit = CommitUnit(self._owned)
        for run in cancel:
            self._cancelled.add(run.run_id)
            asked = CancelRequested(
                run_id=run.run_id, request_id=f"{run.run_id}/overlap", reason="the next slot of its schedule has come"
            )
            self._parts.writer.write(
                unit,
                self._parts.writer.names.signals,
                asked,
                id=asked.request_id,
                key=run.run_id,
                extra={"agent": run.agent, "pool": run.pool},
            )
        self.state.waiting = [entry for entry in self.state.waiting if entry not in dropped]
        self.state.skipped += len(dropped)
        self.save(unit)
        self._parts.committer.add(unit)

    def _start(self, entry: DueSlot) -> None:
        """Run the function now, or after a transaction that proves the partition to be ours still."""
        entry.began_ms = clock.now_ms()
        entry.first_ms = entry.first_ms or entry.began_ms
        entry.since_ms = entry.since_ms or clock.steady_ms()
        if self._parts.committer.proven():
            self._call(entry)
            return
        proof = CommitUnit(self._owned)
        proof.on_commit.append(lambda: self._call(entry))
        self._parts.committer.add(proof)

    def _call(self, entry: DueSlot) -> None:
        if self._owned.live:
            entry.task = self._parts.tasks.spawn(self._attempt(entry))

    async def _attempt(self, entry: DueSlot) -> None:
        own = asyncio.current_task()
        try:
            async with asyncio.timeout(LIMIT_S):
                outputs = called(listed, await self._made())
        except asyncio.CancelledError as error:
            if entry.stopped:
                self._finish(entry, [], {"cancelled": True})
            elif is_cancelled(own):
                raise
            else:  # the function has cancelled its own task
                self._failed(entry, user_code_exit(error))
        except Exception as error:  # noqa: BLE001 - a schedule's function is users' code; the policy decides
            self._failed(entry, error)
        else:
            self._finish(entry, outputs)

    async def _made(self) -> Any:
        """Call the function; a plain one in a thread, since it may wait for something outside."""
        fn = self.schedule.fn
        made = fn() if inspect.iscoroutinefunction(fn) else await in_thread(fn)
        return await awaited(made) if inspect.isawaitable(made) else made

    def _failed(self, entry: DueSlot, error: Exception) -> None:
        wait = pause_after(entry, error)
        if wait is None:
            log.warning(
                "schedule %s: slot %s is given up: %s", self.schedule.name, entry.slot_ms, error_message(error, 500)
            )
            self._finish(entry, [], {"failed": error_message(error, 500)}, error)
            return
        entry.attempt += 1
        entry.due_ms = clock.steady_ms() + int(wait * 1000)
        entry.began_ms = entry.task = None
        if self._owned.live:
            self.save()
            self.changed()

    def _finish(self, entry: DueSlot, outputs: list[Any], data: Any = None, error: Exception | None = None) -> None:
        """Commit the slot: tick, outputs or dead letter, and the row without it."""
        if not self._owned.live:
            return
        writer, runs = self._parts.writer, []
        if data is None and entry.cause != CLOCK:
            data = {"cause": entry.cause}
        unit = CommitUnit(self._owned)
        try:
            write_tick(unit, writer, self.schedule, entry, data)
            runs = called(write_outputs, unit, writer, self.schedule, entry, outputs)
        except Exception as refused:  # noqa: BLE001 - an output that cannot be sent is its slot's dead letter
            error, unit = refused, CommitUnit(self._owned)
            write_tick(unit, writer, self.schedule, entry, {"failed": error_message(refused, 500)})
        if error is not None:
            write_letter(unit, writer, self.schedule, entry, error)
        state = self.state
        state.waiting.remove(entry)
        state.fired += entry.cause != REDRIVE
        state.failed += error is not None
        state.running += runs
        if entry.cause == CLOCK:
            state.last_ms = max(entry.slot_ms, state.last_ms or 0)
        self.backfills.expand()  # the row is written after this
        self.save(unit)
        self._parts.committer.add(unit)
        self.pump()


def pause_after(entry: DueSlot, error: Exception) -> float | None:
    """Return the seconds until the next attempt, None when there is none."""
    if isinstance(error, Reject) or entry.attempt >= POLICY.attempts:
        return None
    if (pause := asked_pause(error)) is not None:
        return pause
    return POLICY.delay(entry.attempt, seeded(entry.id, entry.attempt))
