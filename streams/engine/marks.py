"""What a run records without waiting: progress, events, patches, and the begin and end of its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from streams.engine.decision import Output, Timer
from streams.engine.driver import Driver, MarkOp, StageMark, TimedOp
from streams.engine.jsonable import args_to_json, digest
from streams.error_text import error_message, error_type

if TYPE_CHECKING:
    from types import TracebackType

    from schemas import Event

GRACE_MS = 10_000  # between SoftTimeout and the hard end


class ProgressOp(MarkOp[None]):
    """Reports how far the run is, in words and percent."""

    __slots__ = ("percent",)
    kind = "progress"
    named = False

    def __init__(self, driver: Driver, message: str, percent: int | None) -> None:
        super().__init__(driver, message)
        self.percent = percent

    def schedule(self) -> None:
        """Record the message and the percentage."""
        self.append("completed", progress=self.percent)


class AskOp(MarkOp[str]):
    """Records what a person is asked to approve; returns the token that the answer has to carry."""

    __slots__ = ("parameters",)
    kind = "approval"

    def __init__(self, driver: Driver, what: str, parameters: Any) -> None:
        super().__init__(driver, what)
        self.parameters = parameters

    def begin(self) -> bool:
        """Derive the token from the question, and record both unless they are recorded."""
        self.value = self.digest = digest(self.driver.journal.run_id, self.path, self.name, self.parameters)
        return super().begin()

    def schedule(self) -> None:
        """Record the question and its token."""
        self.append("completed", input={"what": self.name, "parameters": self.parameters, "token": self.digest})


class EmitOp(MarkOp[None]):
    """Publishes an event on the bus, in the unit of its entry."""

    __slots__ = ("event",)
    kind = "emit"

    def __init__(self, driver: Driver, event: Event) -> None:
        super().__init__(driver, event.event_type)
        self.event = event

    def begin(self) -> bool:
        """Derive the digest from the event's data; record and publish it, unless it is recorded."""
        self.digest = digest(self.name, args_to_json(self.event, secrets=False))
        return super().begin()

    def schedule(self) -> None:
        """Record the event's type and publish the event."""
        journal = self.driver.journal
        self.append("completed", input={"type": self.name})
        event_id = f"{journal.run_id}/{self.path}/{self.resume}"
        journal.decision.outputs.append(Output("events", self.event, event_id, self.event.key_text() or journal.run_id))


class StageOp(TimedOp[None]):
    """Enters a stage; `timeout` is how long it may last."""

    __slots__ = ("mark",)
    kind = "stage"

    def __init__(self, driver: Driver, name: str, timeout: float | None) -> None:
        super().__init__(driver, name, timeout)
        self.mark: StageMark | None = None

    def begin(self) -> bool:
        """Record the stage and until when it may last, unless it is recorded."""
        journal, driver = self.driver.journal, self.driver
        self.record = journal.find(self.path, self.kind, self.name, self.digest)
        self.mark = mark = StageMark(self.name, self.path, self.frame, self.timeout)
        if self.record is None:
            self.resume, mark.begun_ms = journal.resume, journal.now_ms
            self.schedule()
            self.append("scheduled", due_ms=self.due_ms)
        else:
            self.resume, mark.begun_ms = self.record.resume, self.record.started_ms
            mark.record = self.record
            self.load(self.record)
        mark.resume, mark.due_ms = self.resume, self.due_ms
        self.frame.stage = mark
        driver.stages[self.path] = mark
        if not journal.replaying:
            arm(driver, mark)
        return False


def _reason(error: BaseException) -> dict[str, str]:
    return {"type": error_type(error), "message": error_message(error)}


class StageEndOp(MarkOp[None]):
    """Leaves a stage: the checkpoint, with how it ended and how long it took."""

    __slots__ = ("mark", "reason")
    kind = "stage_end"

    def __init__(self, driver: Driver, mark: StageMark, reason: BaseException | None) -> None:
        super().__init__(driver, mark.name)
        self.mark = mark
        self.reason = reason
        self.digest = "completed" if reason is None else "failed"

    def begin(self) -> bool:
        """Record the end under the stage's own path."""
        self.frame.count -= 1
        self.path = f"{self.mark.path}~end"
        super().begin()
        self.frame.stage = self.mark.outer
        self.driver.stages.pop(self.mark.path, None)
        return False

    def schedule(self) -> None:
        """Record how the stage ended."""
        error = None if self.reason is None else _reason(self.reason)
        self.append(self.digest, error=error, started_ms=self.mark.begun_ms)

    @property
    def stage(self) -> str:
        """Return the name of the stage that ends."""
        return self.name


class Stage:
    """The context of `async with run.stage(...)`."""

    __slots__ = ("driver", "mark", "name", "timeout")

    def __init__(self, driver: Driver, name: str, timeout: float | None) -> None:
        self.driver = driver
        self.name = name
        self.timeout = timeout
        self.mark: StageMark | None = None

    async def __aenter__(self) -> Self:
        op = StageOp(self.driver, self.name, self.timeout)
        await op
        self.mark = op.mark
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.mark is not None and not self.driver.closed and kind is not GeneratorExit:
            await StageEndOp(self.driver, self.mark, error)


def arm(driver: Driver, mark: StageMark) -> None:
    """Ask for the timer of a stage: its time-out or, when that was, the hard end."""
    if mark.due_ms is not None:
        due = mark.due_ms + (GRACE_MS if mark.soft else 0)
        driver.journal.decision.timers.append(Timer(mark.path, due, mark.resume))


def patched(driver: Driver, name: str) -> bool:
    """Return whether a run takes the changed code: it does unless it came by here before the change."""
    journal = driver.journal
    if name in journal.patches:
        return True
    if name in journal.unpatched or (journal.replaying and (journal.standing or journal.remaining)):
        journal.unpatched.add(name)  # the answer stays the same for the whole run
        return False
    journal.patches.add(name)
    journal.append(f"~patch/{name}", "patch", name)
    return True


def event_of(value: Any) -> Event:
    """Return value as an event to publish; raise TypeError with what to write instead."""
    if not getattr(value, "event_type", ""):
        raise TypeError(f'{value!r} is no event: derive its class from schemas.Event with type="something.happened"')
    event: Event = value
    return event
