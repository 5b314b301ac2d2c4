"""All schedules of this worker: which assignment has which, the commands to them, and what they report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import SchemaError
from schemas.schedule import ScheduleBackfill, ScheduleCommanded, ScheduleRunEnded, ScheduleState
from streams import clock
from streams.engine.ids import derived, slot_id
from streams.engine.slots import Slots
from streams.journal.store_keys import LEDGER
from streams.worker.schedules.schedule_runner import ScheduleDependencies, ScheduleRunner
from streams.worker.schedules.schedule_state import DueSlot, ScheduleProgress, state_key
from streams.worker.schedules.slot_outputs import REDRIVE
from topics.partition import partition_of
from topics.reader import Time, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.dead import RedriveRequested
    from streams.define.schedules import Schedule
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.runtime import Runtime
    from topics.kafka import KafkaConfig

_SLACK_MS = 60_000  # a tick's record is not older than its slot, but for clocks that were set


class OwnedSchedules:
    """The keepers of the owned assignments; only the default pool has them."""

    def __init__(
        self, schedules: Mapping[str, Schedule], runtime: Runtime, parts: ScheduleDependencies, kafka: KafkaConfig
    ) -> None:
        """Run `schedules`; raises DefinitionError for one without sense."""
        self._schedules = dict(schedules)
        self._slots = {name: Slots(schedule) for name, schedule in schedules.items()}
        self._runtime = runtime
        self._parts = parts
        self._kafka = kafka
        self._keepers: dict[str, tuple[PartitionAssignment, ScheduleRunner]] = {}

    def restored(self, owned: PartitionAssignment) -> None:
        """Run the schedules whose name falls into an assignment that is ready now."""
        for name, schedule in self._schedules.items():
            if partition_of(name.encode(), self._runtime.partitions) == owned.partition:
                self._keep(owned, schedule)
        owned.on_death.append(lambda: self._forget(owned))

    def _keep(self, owned: PartitionAssignment, schedule: Schedule) -> None:
        row = owned.stores[LEDGER].committed(state_key(schedule.name))
        state = None if row is None else ScheduleProgress.of(self._parts.writer.codec.decode(row, ScheduleState))
        keeper = ScheduleRunner(self._parts, owned, schedule, self._slots[schedule.name], state, self._fired)
        self._keepers[schedule.name] = (owned, keeper)
        keeper.begin()

    def _forget(self, owned: PartitionAssignment) -> None:
        for name, (where, keeper) in list(self._keepers.items()):
            if where is owned:
                keeper.forget()
                del self._keepers[name]

    def has(self, name: str) -> bool:
        """Return whether this worker's code has a schedule."""
        return name in self._schedules

    # -- from `signals`

    def handle_message(self, batch: RecordBatch, message: ScheduleCommanded | ScheduleRunEnded) -> None:
        """Take in what came, as part of the batch's unit; raises SchemaError for an order that makes no sense."""
        found = self._keepers.get(message.schedule)
        if found is None or found[0] is not batch.assignment:
            if isinstance(message, ScheduleCommanded):
                raise SchemaError(
                    f"there is no schedule {message.schedule!r} here: `streams schedules list` shows them"
                )
            return
        keeper = found[1]
        if isinstance(message, ScheduleRunEnded):
            if not keeper.state.ended(message.run_id):
                return
        elif keeper.state.asked(message.request_id):
            return
        else:
            _order(keeper, message)
        keeper.save(batch)
        batch.on_commit.append(keeper.changed)

    def again(self, batch: RecordBatch, asked: RedriveRequested) -> None:
        """Run the function for a slot again that was given up, with the ids that it had; raises SchemaError."""
        found = self._keepers.get(asked.consumer)
        if found is None or asked.value is None:
            raise SchemaError(f"there is no schedule {asked.consumer!r} here")
        slot_ms = int(self._parts.writer.codec.decode_dict(asked.value)["slot_ms"])
        id = asked.headers.get("ce_id", slot_id(asked.consumer, slot_ms).encode()).decode()
        found[1].promise([DueSlot(id, slot_ms, REDRIVE)])
        found[1].save(batch)

    # -- what is shown

    def rows(self) -> list[dict[str, Any]]:
        """Return each schedule here as people read it: what is committed, so that its ticks are on the log."""
        rows = []
        for name, (owned, _) in sorted(self._keepers.items()):
            row = owned.stores[LEDGER].committed(state_key(name)) if owned.ready and owned.live else None
            if row is not None:
                rows.append(self._shown(self._parts.writer.codec.decode(row, ScheduleState)))
        return rows

    def _shown(self, state: ScheduleState) -> dict[str, Any]:
        following = None if state.paused else self._slots[state.schedule].next(state.cursor_ms)
        return {
            "name": state.schedule,
            "next_slot": clock.iso(following),
            "last_slot": clock.iso(state.last_ms),
            "paused": state.paused,
            "fired": state.fired,
            "failed": state.failed,
            "missed": state.missed,
            "skipped": state.skipped,
            "waiting": len(state.waiting),
            "running": [run.run_id for run in state.running],
            "backfills": len(state.backfills),
        }

    def _fired(self, name: str, start_ms: int, end_ms: int) -> set[str]:
        """Return the ids of a schedule's ticks on the log since `start_ms`; blocks."""
        del end_ms  # a slot may have fired late
        topic = self._parts.writer.names.ticks
        found = read(self._kafka, topic, start=Time(max(start_ms - _SLACK_MS, 0)), key=name)
        return {(value or b"").decode() for record in found for header, value in record.headers if header == "ce_id"}


def _order(keeper: ScheduleRunner, message: ScheduleCommanded) -> None:
    state, now = keeper.state, clock.now_ms()
    match message.command:
        case "pause":
            state.paused = True
        case "resume":
            if state.paused:
                state.cursor_ms = max(state.cursor_ms, now)  # slots of the pause are over
            state.paused = False
            state.running.clear()  # whatever it was waiting for: go on
        case "trigger":
            slot_ms = now if message.slot_from_ms is None else message.slot_from_ms
            id = f"{slot_id(message.schedule, slot_ms)}~{derived('', message.request_id)[:8]}"
            keeper.promise([DueSlot(id, slot_ms, "trigger")])
        case "backfill" if message.slot_from_ms is not None and message.slot_to_ms is not None:
            job = ScheduleBackfill(
                request_id=message.request_id,
                at_ms=message.slot_from_ms - 1,
                to_ms=message.slot_to_ms,
                force=message.force,
            )
            keeper.backfills.add(job)
        case _:
            raise SchemaError(f"{message.command!r} is no order to a schedule: pause, resume, trigger, backfill")
