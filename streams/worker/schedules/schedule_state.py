"""What the owner of a schedule knows of it; the row on the log is a snapshot of this, in the unit of each change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from schemas.schedule import ScheduleBackfill, ScheduleRun, ScheduleSlot, ScheduleState
from streams.journal import store_keys

if TYPE_CHECKING:
    import asyncio

REQUESTS: Final = 50  # request ids remembered, so that a command that comes twice counts once
CLOCK: Final = "clock"


@dataclass(slots=True, eq=False)
class DueSlot:
    """A slot that is to fire. Its function starts once the row that holds it is committed (`durable`)."""

    id: str
    slot_ms: int
    cause: str = CLOCK
    attempt: int = 1
    due_ms: int = 0  # not before; a retry waits
    durable: bool = False
    first_ms: int | None = None  # its function was called first, by this owner
    since_ms: int | None = None  # the same by the steady clock, as `due_ms`
    began_ms: int | None = None  # its function runs since
    stopped: bool = False  # its function was cancelled by a later slot
    task: asyncio.Task[None] | None = None

    def row(self) -> ScheduleSlot:
        """Return what is stored of it."""
        return ScheduleSlot(
            id=self.id, slot_ms=self.slot_ms, cause=self.cause, attempt=self.attempt, due_ms=self.due_ms
        )


@dataclass(slots=True)
class ScheduleProgress:
    """Fields as in `ScheduleState`."""

    schedule: str
    cursor_ms: int
    last_ms: int | None = None
    paused: bool = False
    fired: int = 0
    failed: int = 0
    missed: int = 0
    skipped: int = 0
    waiting: list[DueSlot] = field(default_factory=list)
    running: list[ScheduleRun] = field(default_factory=list)
    backfills: list[ScheduleBackfill] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, row: ScheduleState) -> ScheduleProgress:
        """Return the state that a committed row holds."""
        values: dict[str, Any] = {name: getattr(row, name) for name in ScheduleState.model_fields}
        values |= {name: list(values[name]) for name in ("running", "backfills", "requests")}
        values["waiting"] = [
            DueSlot(slot.id, slot.slot_ms, slot.cause, slot.attempt, slot.due_ms, durable=True) for slot in row.waiting
        ]
        return cls(**values)

    def row(self) -> ScheduleState:
        """Return the row that holds the state as it is now."""
        return ScheduleState(
            schedule=self.schedule,
            cursor_ms=self.cursor_ms,
            last_ms=self.last_ms,
            paused=self.paused,
            fired=self.fired,
            failed=self.failed,
            missed=self.missed,
            skipped=self.skipped,
            waiting=[entry.row() for entry in self.waiting],
            running=list(self.running),
            backfills=list(self.backfills),
            requests=self.requests[-REQUESTS:],
        )

    def ended(self, run_id: str) -> bool:
        """Forget a run that has ended; return whether it was one that slots look at."""
        left = [run for run in self.running if run.run_id != run_id]
        changed = len(left) != len(self.running)
        self.running = left
        return changed

    def asked(self, request_id: str) -> bool:
        """Remember a request; return whether it was known."""
        if request_id in self.requests:
            return True
        self.requests = [*self.requests[1 - REQUESTS :], request_id]
        return False


def state_key(schedule: str) -> bytes:
    """Return the key of a schedule's row in the journal's store."""
    return store_keys.SCHEDULE + schedule.encode()
