"""Backfills: slots of the past are fired a few at a time, those that have fired already only when forced.

What has fired is asked of `ticks`: its partition is written by this owner alone, so what is not there has not fired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from schemas.schedule import ScheduleBackfill
from streams.engine.ids import derived, slot_id
from streams.user_code import cancel
from streams.worker.schedules.schedule_state import DueSlot
from topics.errors import TopicError

if TYPE_CHECKING:
    from streams.define.schedules import Schedule
    from streams.engine.slots import Slots
    from streams.runtime.tasks import BackgroundTasks
    from streams.worker.schedules.schedule_state import ScheduleProgress

AT_ONCE: Final = 5  # slots of backfills that wait or run
CAUSE: Final = "backfill"
_PIECE: Final = 500

Fired = Callable[[str, int, int], set[str]]  # schedule, from, to (ms): ids of ticks on the log; blocks


class BackfilledSchedule(Protocol):
    """A schedule with backfills: `streams.worker.schedules.schedule_runner.ScheduleRunner` is one."""

    schedule: Schedule
    slots: Slots
    state: ScheduleProgress

    def promise(self, entries: list[DueSlot]) -> None:
        """Add slots that are to fire."""

    def save(self) -> None:
        """Write the row."""

    def changed(self) -> None:
        """Look again now."""

    async def settled(self) -> None:
        """Wait until all that was written so far is committed."""


class Backfills:
    """The backfills of one schedule, one after the other."""

    def __init__(self, keeper: BackfilledSchedule, tasks: BackgroundTasks, fired: Fired) -> None:
        """Ask `fired` in a thread which slots are on the log."""
        self._keeper = keeper
        self._tasks = tasks
        self._fired = fired
        self._known: dict[str, set[str]] = {}  # ids not to fire, by request
        self._asking: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Stop asking: the assignment is dead."""
        if self._asking is not None:
            cancel(self._asking)

    def add(self, job: ScheduleBackfill) -> None:
        """Take a backfill in; the caller writes the row. Slots that wait anyway are left to fire as they would."""
        state = self._keeper.state
        to_ms = min(job.to_ms, state.cursor_ms + 1)  # what is not decided yet will fire by itself
        state.backfills.append(job.model_copy(update={"to_ms": to_ms}))

    def expand(self) -> None:
        """Put the next slots among those that wait; the caller writes the row."""
        state = self._keeper.state
        while state.backfills:
            job = state.backfills[0]
            if not job.force and job.request_id not in self._known:
                self._ask(job)
                return
            room = AT_ONCE - sum(entry.cause == CAUSE for entry in state.waiting)
            if room <= 0:
                return
            state.backfills[0] = self._step(job, room)
            if state.backfills[0].at_ms >= job.to_ms - 1:
                self._known.pop(job.request_id, None)
                del state.backfills[0]

    def _step(self, job: ScheduleBackfill, room: int) -> ScheduleBackfill:
        """Add up to `room` slots; return the job with how far it is."""
        keeper, known = self._keeper, self._known.get(job.request_id, set())
        found: list[DueSlot] = []
        at_ms = job.at_ms
        slots = keeper.slots.between(at_ms + 1, job.to_ms, _PIECE)
        for slot in slots:
            id = slot_id(keeper.schedule.name, slot)
            at_ms = slot
            if job.force:
                found.append(DueSlot(f"{id}~{derived('', job.request_id)[:8]}", slot, CAUSE))
            elif id not in known and all(entry.id != id for entry in keeper.state.waiting):
                found.append(DueSlot(id, slot, CAUSE))
            if len(found) == room:
                break
        else:
            at_ms = job.to_ms if len(slots) < _PIECE else at_ms
        keeper.promise(found)
        return job.model_copy(update={"at_ms": at_ms})

    def resume(self) -> None:
        """Go on after a restore, or after the log could not be read."""
        if self._keeper.state.backfills and not any(entry.cause == CAUSE for entry in self._keeper.state.waiting):
            before = self._keeper.state.backfills[0]
            self.expand()
            if not self._keeper.state.backfills or self._keeper.state.backfills[0] is not before:
                self._keeper.save()

    def _ask(self, job: ScheduleBackfill) -> None:
        if self._asking is None:
            self._asking = self._tasks.spawn(self._answer(job))

    async def _answer(self, job: ScheduleBackfill) -> None:
        """Read what has fired, of what is committed now; what waits at this moment may fire while we read."""
        keeper = self._keeper
        waiting = {entry.id for entry in keeper.state.waiting}
        await keeper.settled()
        try:
            known = await asyncio.to_thread(self._fired, keeper.schedule.name, job.at_ms, job.to_ms)
        except TopicError:
            return  # asked again with the next look
        finally:
            self._asking = None
        self._known[job.request_id] = known | waiting
        keeper.changed()
