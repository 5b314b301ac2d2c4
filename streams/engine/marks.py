"""What a run says without waiting: progress, events, patches, and the begin and end of its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from streams.engine.decision import Output, Timer
from streams.engine.driver import Driver, Op, StageMark
from streams.engine.jsonable import args_to_json, digest
from streams.error_text import error_message, error_type

if TYPE_CHECKING:
    from types import TracebackType

    from schemas import Event

GRACE_MS = 10_000  # between SoftTimeout and the hard end


class ProgressOp(Op[None]):
    """Says how far the run is, in words and percent."""

    __slots__ = ("percent",)
    kind = "progress"

    def __init__(self, driver: Driver, message: str, percent: int | None) -> None:
        super().__init__(driver, message)
        self.percent = percent

    def begin(self) -> bool:
        """Record it, unless it is recorded."""
        journal = self.driver.journal
        if journal.find(self.path, self.kind, None, "") is None:
            journal.forbid_new(self.path, self.kind, self.name)
            journal.append(self.path, self.kind, self.name, stage=self.stage, progress=self.percent)
        return False


class AskOp(Op[str]):
    """Says what a person is asked to approve, and gives the token that the answer has to carry."""

    __slots__ = ("parameters",)
    kind = "approval"

    def __init__(self, driver: Driver, what: str, parameters: Any) -> None:
        super().__init__(driver, what)
        self.parameters = parameters

    def begin(self) -> bool:
        """Record the question, unless it is recorded."""
        journal = self.driver.journal
        self.value = self.digest = token = digest(journal.run_id, self.path, self.name, self.parameters)
        if journal.find(self.path, self.kind, self.name, token) is None:
            journal.forbid_new(self.path, self.kind, self.name)
            asked = {"what": self.name, "parameters": self.parameters, "token": token}
            journal.append(self.path, self.kind, self.name, digest=token, stage=self.stage, input=asked)
        return False


class EmitOp(Op[None]):
    """Publishes an event on the bus, in the unit of its entry."""

    __slots__ = ("event",)
    kind = "emit"

    def __init__(self, driver: Driver, event: Event) -> None:
        super().__init__(driver, event.event_type)
        self.event = event

    def begin(self) -> bool:
        """Record and publish it, unless it is recorded."""
        journal = self.driver.journal
        data = args_to_json(self.event, secrets=False)
        self.digest = digest(self.name, data)
        if journal.find(self.path, self.kind, self.name, self.digest) is None:
            journal.forbid_new(self.path, self.kind, self.name)
            entry = journal.append(
                self.path, self.kind, self.name, digest=self.digest, stage=self.stage, input={"type": self.name}
            )
            event_id = f"{journal.run_id}/{self.path}/{entry.resume}"
            key = self.event.key_text() or journal.run_id
            journal.decision.outputs.append(Output("events", self.event, event_id, key))
        return False


class StageOp(Op[None]):
    """Enters a stage."""

    __slots__ = ("mark", "timeout")
    kind = "stage"

    def __init__(self, driver: Driver, name: str, timeout: float | None) -> None:
        super().__init__(driver, name)
        self.timeout = timeout
        self.mark: StageMark | None = None

    def begin(self) -> bool:
        """Record the stage and until when it may last, unless it is recorded."""
        journal, driver = self.driver.journal, self.driver
        self.record = journal.find(self.path, self.kind, self.name, self.digest)
        self.mark = mark = StageMark(self.name, self.path, self.frame, self.timeout)
        if self.record is None:
            journal.forbid_new(self.path, self.kind, self.name)
            if self.timeout is not None:
                mark.due_ms = journal.now_ms + int(self.timeout * 1000)
            journal.append(self.path, self.kind, self.name, status="scheduled", stage=self.stage, due_ms=mark.due_ms)
        else:
            mark.resume, mark.due_ms = self.record.resume, self.record.due_ms
            mark.record = self.record
            mark.begun_ms = self.record.started_ms
            if mark.due_ms is not None and self.timeout is not None and self.record.seq < journal.resumed_seq:
                mark.due_ms = max(mark.due_ms, journal.resumed_ms + int(self.timeout * 1000))
        if self.record is None:
            mark.resume, mark.begun_ms = journal.resume, journal.now_ms
        self.frame.stage = mark
        driver.stages[self.path] = mark
        if not journal.replaying:
            arm(driver, mark)
        return False


def _reason(error: BaseException) -> dict[str, str]:
    return {"type": error_type(error), "message": error_message(error)}


class StageEndOp(Op[None]):
    """Leaves a stage: the checkpoint, with how it ended and how long it took."""

    __slots__ = ("mark", "reason")
    kind = "stage_end"

    def __init__(self, driver: Driver, mark: StageMark, reason: BaseException | None) -> None:
        super().__init__(driver, mark.name)
        self.mark = mark
        self.reason = reason

    def begin(self) -> bool:
        """Record the end under the stage's own path."""
        self.frame.count -= 1
        journal, mark = self.driver.journal, self.mark
        self.path = f"{mark.path}~end"
        status = "completed" if self.reason is None else "failed"
        if journal.find(self.path, self.kind, self.name, status) is None:
            journal.forbid_new(self.path, self.kind, self.name)
            error = None if self.reason is None else _reason(self.reason)
            journal.append(
                self.path,
                self.kind,
                self.name,
                status=status,
                digest=status,
                stage=self.name,
                error=error,
                started_ms=mark.begun_ms,
            )
        self.frame.stage = mark.outer
        self.driver.stages.pop(mark.path, None)
        return False


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
    """Say whether a run takes the changed code: it does unless it came by here before the change."""
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
