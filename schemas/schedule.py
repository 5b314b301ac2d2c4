"""Orders to a schedule, and what its owner remembers of it."""

from pydantic import Field

from schemas.event import Event, Record


class ScheduleCommanded(Event, type="schedule.commanded", key="schedule"):
    """Somebody wants a schedule paused, resumed, triggered or backfilled; on `signals`, under the schedule's name.

    ``command`` is pause, resume, trigger or backfill. A trigger is for the moment ``slot_from_ms``, a backfill for the
    slots from ``slot_from_ms`` (inclusive) to ``slot_to_ms`` (exclusive), in milliseconds since the epoch; ``force``
    fires also those that have fired. The same ``request_id`` again does nothing.
    """

    schedule: str
    command: str
    request_id: str
    slot_from_ms: int | None = None
    slot_to_ms: int | None = None
    force: bool = False


class ScheduleRunEnded(Event, type="schedule.run_ended", key="schedule"):
    """A run that a slot started has ended, as `status` says; the schedule may be waiting for it."""

    schedule: str
    run_id: str
    ending: int
    status: str


class ScheduleSlot(Record):
    """A slot that is to fire: ``id`` names its tick and, with an index, what it starts.

    ``cause`` is clock, trigger or backfill; ``attempt`` the next one, not before ``due_ms`` (epoch, ms).
    """

    id: str
    slot_ms: int
    cause: str = "clock"
    attempt: int = 1
    due_ms: int = 0


class ScheduleRun(Record):
    """A run that a slot started and that has not ended, with where a cancel must be sent."""

    run_id: str
    agent: str
    pool: str


class ScheduleBackfill(Record):
    """A backfill under way: slots after ``at_ms`` and before ``to_ms`` are still to be fired."""

    request_id: str
    at_ms: int
    to_ms: int
    force: bool = False


class ScheduleState(Record):
    """A schedule's row in the journal of its owner.

    All slots up to ``cursor_ms`` are decided: fired, ``missed`` (their time was too long ago), ``skipped`` (as
    ``overlap`` says), or in ``waiting``. ``requests`` are the latest request ids, so that a repeat does nothing.
    """

    schedule: str
    cursor_ms: int
    last_ms: int | None = None
    paused: bool = False
    fired: int = 0
    failed: int = 0
    missed: int = 0
    skipped: int = 0
    waiting: list[ScheduleSlot] = Field(default_factory=list)
    running: list[ScheduleRun] = Field(default_factory=list)
    backfills: list[ScheduleBackfill] = Field(default_factory=list)
    requests: list[str] = Field(default_factory=list)
