"""Lanes: one for each reaction and key. A lane handles its events one at a time in log order; lanes run side by side.

An event that is done within its batch leaves no trace: its outputs ride with the batch. One that takes longer, waits
for a retry or lies in a window is parked as a row, so that its offset can pass; its outputs ride with the row's end.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.activity import LABEL, Watched, label
from streams.define.policies import Reject, Retry, asked_pause
from streams.engine.ids import seeded
from streams.engine.starts import listed
from streams.error_text import error_message, error_types
from streams.errors import StreamsError, UserCodeExit
from streams.journal.blocked_code import BlockedCode, event_name
from streams.journal.dead_letters import dead_letter
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import WHOLE_EVENT_BYTES, CommitUnit
from streams.runtime.errors import DeadAssignmentError, RecordTooLargeError
from streams.tools._threads import in_thread
from streams.tools.errors import ToolError
from streams.tracing import Span
from streams.user_code import awaited, called, cancel, is_cancelled, user_code_exit
from streams.worker.reactions.flood_guard import RETRY_S, FloodGuard
from streams.worker.reactions.lane_batches import handed_over, others
from streams.worker.reactions.reaction_outputs import put

if TYPE_CHECKING:
    from schemas import Event
    from schemas.run import RunSubmitted
    from streams.define.reactions import Reaction
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.committer import Committer
    from streams.runtime.tasks import BackgroundTasks
    from streams.worker.reactions.event_item import ReactionItem

IN_BATCH_S: Final = 1.0  # how long a batch waits for its reactions before it parks them
MOST_PARKED: Final = 100_000  # of a partition; more than that holds the partition's events back

Name = tuple["PartitionAssignment", str, str]
LocalStart = Callable[[CommitUnit, "Sequence[RunSubmitted]"], None]


async def _called(fn: Callable[..., Any], event: Event) -> Any:
    """Call a reaction's function; a plain one in a thread, since it may block or burn the processor."""
    return fn(event) if inspect.iscoroutinefunction(fn) else await in_thread(fn, event)


class _ReactionLane:
    """The events of one reaction and key that are not finished, in log order."""

    __slots__ = ("changed", "items", "task")

    def __init__(self) -> None:
        self.items: deque[ReactionItem] = deque()
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class ReactionLanes:
    """All lanes of a worker."""

    def __init__(
        self,
        tasks: BackgroundTasks,
        writer: RecordWriter,
        committer: Committer,
        guard: FloodGuard,
        *,
        blocked: BlockedCode | None = None,
        take_in_locally: LocalStart | None = None,
        export: Callable[[Span], None] | None = None,
    ) -> None:
        """Run lanes as `tasks`; units of parked events go to the committer.

        `blocked` knows the events whose code has blocked workers. `take_in_locally` takes in the runs that a reaction
        starts, behind its unit; without it they come by their queues alone. `export` takes the spans of reactions.
        """
        self._tasks = tasks
        self._writer = writer
        self._committer = committer
        self.guard = guard
        self._lanes: dict[Name, _ReactionLane] = {}
        self._moved = asyncio.Event()  # set whenever an item settles or starts to wait
        self.parked: dict[PartitionAssignment, int] = {}
        self._blocked = blocked or BlockedCode()
        self._export = export
        self._take_in_locally = take_in_locally or _queued

    # -- from a batch

    async def handle(self, batch: RecordBatch, items: Sequence[ReactionItem]) -> None:
        """Run `items`, which are in log order, and put what is done into the batch's unit and the rest into rows."""
        now = [item for item in items if self._enter(batch, item)]
        end = clock.monotonic() + IN_BATCH_S
        while not all(item.settled or item.retrying for item in now):
            self._moved.clear()
            try:
                async with asyncio.timeout(max(end - clock.monotonic(), 0)):
                    await self._moved.wait()
            except TimeoutError:
                break
        for item in items:
            if item.settled:
                self._conclude(batch, item)
            elif not item.replaced:
                self._park(batch, item)
                if (lane := self._lanes.get((item.owned, item.reaction.name, item.lane))) is not None:
                    lane.changed.set()

    def park(self, batch: RecordBatch, item: ReactionItem) -> None:
        """Put an item into its lane without waiting for it: its outcome is a unit of its own."""
        self._park(batch, item)
        if item.settled:
            return
        lane = self._lane(item)
        lane.items.append(item)
        lane.changed.set()
        self._run(item, lane)

    def park_at_commit(self, unit: CommitUnit, item: ReactionItem) -> None:
        """Store an item as a row of `unit`; it enters its lane once that is committed, and its window begins now."""
        item.due_ms = _window_ends(item.reaction)
        if self._keep(unit, item):
            unit.on_commit.append(partial(self._committed, item))

    def _committed(self, item: ReactionItem) -> None:
        if not item.owned.live:
            return
        if item.reaction.debounce is not None:
            unit = CommitUnit(item.owned)
            self._replace(unit, self._lane(item))
            if unit.outs:
                self._committer.add(unit)
        self.resume(item)

    async def room(self, owned: PartitionAssignment) -> None:
        """Wait while the partition has too many parked events: its source is held back, the others go on."""
        while owned.live and self.parked.get(owned, 0) >= MOST_PARKED:
            self._moved.clear()
            await self._moved.wait()

    def _enter(self, batch: RecordBatch, item: ReactionItem) -> bool:
        """Put an item into its lane; return whether the batch should wait for it."""
        lane = self._lane(item)
        item.due_ms = _window_ends(item.reaction)
        if item.reaction.debounce is not None:
            self._replace(batch, lane)
        behind = any(other.stored for other in lane.items)
        lane.items.append(item)
        lane.changed.set()
        self._run(item, lane)
        return not item.due_ms and not behind

    def _replace(self, batch: CommitUnit, lane: _ReactionLane) -> None:
        """Drop what lies in the window: only the last event within it is handled."""
        waiting = [item for item in lane.items if item.due_ms > clock.steady_ms()]
        for item in waiting:
            lane.items.remove(item)
            item.replaced = True
            if item.stored:
                self._unpark(batch, item)

    # -- lanes

    def resume(self, item: ReactionItem) -> None:
        """Bring a parked item back after a restart; call in log order."""
        lane = self._lane(item)
        lane.items.append(item)
        self.parked[item.owned] = self.parked.get(item.owned, 0) + 1
        self._run(item, lane)

    def _lane(self, item: ReactionItem) -> _ReactionLane:
        name = (item.owned, item.reaction.name, item.lane)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _ReactionLane()
        return lane

    def _run(self, item: ReactionItem, lane: _ReactionLane) -> None:
        if lane.task is None:
            name = (item.owned, item.reaction.name, item.lane)
            lane.task = self._tasks.spawn(self._drive(name, lane))

    async def _drive(self, name: Name, lane: _ReactionLane) -> None:
        owned = name[0]
        try:
            while lane.items and owned.live:
                item = lane.items[0]
                if not await self._due(lane, item):
                    continue
                if item.settled:  # given up before its turn came
                    lane.items.popleft()
                    continue
                item.others = others(lane.items)
                await self._attempt(item)
                if item.settled and lane.items and lane.items[0] is item:
                    for _ in range(1 + len(item.others)):
                        lane.items.popleft()
                    if item.stored:
                        self._finish(item)
                self._moved.set()
        finally:
            if self._lanes.get(name) is lane:
                del self._lanes[name]

    async def _due(self, lane: _ReactionLane, item: ReactionItem) -> bool:
        """Wait for the item's time; False when the lane changed meanwhile and must be looked at again."""
        wait = item.due_ms - clock.steady_ms()
        if handed_over(lane.items, wait):
            return True
        lane.changed.clear()
        if not item.stored and item.reaction.batch is not None:
            await lane.changed.wait()  # its row comes first
            return False
        try:
            async with asyncio.timeout(wait / 1000):
                await lane.changed.wait()
        except TimeoutError:
            return bool(lane.items) and lane.items[0] is item
        return False

    async def _attempt(self, item: ReactionItem) -> None:
        """Run the reaction once and set the item's outcome."""
        own = asyncio.current_task()
        name = _name_of(item)
        item.began_ms = clock.now_ms()
        item.error = self._blocked.refuses_event(item.owned, name)
        if item.error is not None:
            return
        text = label("event", item.owned.partition, name, f"reaction {item.reaction.name}")
        LABEL.set(text)
        try:
            made = await _called(item.reaction.fn, item.given)
            if inspect.iscoroutine(made):
                made = await awaited(Watched(text, made))
            elif inspect.isawaitable(made):
                made = await awaited(made)
            item.outputs = called(listed, made)
            self.guard.succeeded(item.reaction.name)
        except asyncio.CancelledError as error:
            if own is None or is_cancelled(own):
                raise
            while own.cancelling():  # the reaction has cancelled its own task
                own.uncancel()
            self._failed(item, user_code_exit(error))
        except Exception as error:  # noqa: BLE001 - a reaction is user code; its policy decides
            self._failed(item, error)

    def _failed(self, item: ReactionItem, error: Exception) -> None:
        """Set when the item is tried again, or the error as its outcome."""
        name = item.reaction.name
        wait = _wait(item, error)
        if wait is None and not isinstance(error, Reject) and self.guard.is_flooded(name):
            wait = RETRY_S
        if wait is None:
            item.error = error
            return
        item.attempt += 1
        item.due_ms = clock.steady_ms() + int(wait * 1000)
        item.retrying = True
        if item.stored:
            self._again(item)

    # -- rows and outcomes

    def _park(self, batch: RecordBatch, item: ReactionItem) -> None:
        """Store an unfinished item as a row of the batch's unit; from its commit on it is on its own."""
        if self._keep(batch, item):
            self.parked[item.owned] = self.parked.get(item.owned, 0) + 1

    def _keep(self, unit: CommitUnit, item: ReactionItem) -> bool:
        """Put an item's row into `unit`; an event that fits its topic and no row cannot wait and is a dead letter."""
        item.first_ms = item.first_ms or clock.now_ms()
        try:
            row = self._writer.codec.encode(item.row())  # it holds the event's record as it came
            unit.put(unit.assignment.stores[LEDGER], item.key(), row, limit=WHOLE_EVENT_BYTES)
        except RecordTooLargeError as error:
            item.error = error
            dead_letter(unit, self._writer, item.record, error, item.reaction.name, attempts=item.attempt)
            return False
        item.stored = True
        return True

    def _unpark(self, unit: CommitUnit, item: ReactionItem) -> None:
        unit.put(unit.assignment.stores[LEDGER], item.key(), None)
        self.parked[item.owned] = self.parked.get(item.owned, 1) - 1

    def _again(self, item: ReactionItem) -> None:
        """Note the next attempt of a parked item."""
        unit = CommitUnit(item.owned)
        self._keep(unit, item)
        self._committer.add(unit)

    def _finish(self, item: ReactionItem) -> None:
        """Commit a parked item's outputs, or its dead letter, together with the end of its row."""
        if not item.owned.live:
            return
        unit = CommitUnit(item.owned)
        self._conclude(unit, item)
        for one in (item, *item.others):
            self._unpark(unit, one)
        unit.on_refuse = lambda error: self._refused(item, error)
        self._committer.add(unit)

    def _refused(self, item: ReactionItem, error: Exception) -> None:
        """Make a dead letter of a parked item whose outputs the broker refused."""
        if item.owned.live and not isinstance(error, DeadAssignmentError) and item.error is None:
            item.error = error
            self.parked[item.owned] = self.parked.get(item.owned, 0) + 1 + len(item.others)
            self._finish(item)

    def _conclude(self, unit: CommitUnit, item: ReactionItem) -> None:
        self._blocked.event_ended(unit, _name_of(item))
        if item.error is None:
            mark, started = unit.mark(), []
            try:
                started = called(put, unit, self._writer, item)
            except Exception as error:  # noqa: BLE001 - an output that cannot be sent is its event's dead letter
                unit.rollback(mark)  # all outputs of an event or none
                item.error = error
            self._trace(unit, item)
            if started:
                unit.on_add.append(partial(self._take_in_locally, unit, started))
        if item.error is not None:
            for one in (item, *item.others):
                dead_letter(unit, self._writer, one.record, item.error, item.reaction.name, attempts=item.attempt)

    def _trace(self, unit: CommitUnit, item: ReactionItem) -> None:
        """Export the span of a reaction when its outcome is committed."""
        export = self._export
        if export is None:
            return
        span, ended_ms = item.trace, clock.now_ms()
        cause, error = item.cause, None if item.error is None else error_message(item.error)
        name = item.reaction.name
        attributes = {"streams.event.id": item.event_id, "streams.event.type": item.event.event_type}
        made = Span(
            f"process {name}",
            span,
            None if cause is None else cause.span_id,
            item.began_ms or ended_ms,
            ended_ms,
            "consumer",
            attributes,
            error,
        )
        unit.on_commit.append(partial(export, made))

    def forget(self, owned: PartitionAssignment) -> None:
        """Drop the lanes of a dead assignment; its parked rows are its next owner's."""
        for name, lane in list(self._lanes.items()):
            if name[0] is owned:
                if lane.task is not None:
                    cancel(lane.task)
                self._lanes.pop(name, None)
        self.parked.pop(owned, None)
        self._moved.set()


def _window_ends(reaction: Reaction) -> int:
    """Return when the window of an event that comes now ends (see `clock.steady_ms`), 0 without one."""
    window = reaction.debounce if reaction.within is None else reaction.within
    return 0 if window is None else clock.steady_ms() + int(window * 1000)


def _name_of(item: ReactionItem) -> str:
    """Return what names an item where its code blocks a worker."""
    return event_name(item.record.topic(), item.record.offset(), item.reaction.name)


def _queued(_unit: CommitUnit, _started: list[RunSubmitted]) -> None:
    """Leave runs to their queues."""


def _hopeless(error: Exception) -> bool:
    """Return whether the error says itself that no further attempt can help: of ours, all but those of user code."""
    ours = isinstance(error, StreamsError) and not isinstance(error, ToolError | Retry | UserCodeExit)
    return ours or isinstance(error, Reject)


def _wait(item: ReactionItem, error: Exception) -> float | None:
    """Return the seconds until the next attempt, None when the policy gives up."""
    policy = item.reaction.retry
    if item.attempt >= policy.attempts or _hopeless(error):
        return None
    if not isinstance(error, Retry) and not policy.allows(error_types(error)):
        return None
    if (pause := asked_pause(error)) is not None:
        return pause
    return policy.delay(item.attempt, seeded(item.event_id, item.reaction.name, item.attempt))
