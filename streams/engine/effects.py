"""Steps, tool calls and model calls: one entry each, tried again by their policy, never run again once recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from streams.engine.decision import EffectKind, Perform, Timer
from streams.engine.driver import Driver, Op
from streams.engine.entry import PARKED
from streams.engine.ids import seeded
from streams.engine.jsonable import args_to_json, from_json, shown, to_json
from streams.engine.messages import EffectDone, ErrorInfo
from streams.error_text import error_message
from streams.errors import StepFailed, TimedOut
from streams.model.reach import HOSTS

if TYPE_CHECKING:
    from streams.define.policies import RetryPolicy
    from streams.define.tools import Tool
    from streams.engine.entry import Entry

T = TypeVar("T")

PARK_MS = 5_000  # between two looks whether a parked attempt may be made


class EffectOp(Op[T]):
    """An effect on the outside, or a pure computation that is worth a record."""

    __slots__ = (
        "args",
        "attempt",
        "due_ms",
        "fn",
        "hosts",
        "kind",
        "parked",
        "performing",
        "pure",
        "retry",
        "returns",
        "show",
        "timeout",
        "tool",
        "tools",
        "usage",
    )

    def __init__(  # noqa: PLR0913  one place makes it, for each of the three kinds
        self,
        driver: Driver,
        kind: EffectKind,
        name: str,
        args: dict[str, Any],
        *,
        digest: str,
        show: Any,
        returns: Any,
        retry: RetryPolicy,
        timeout: float | None,
        pure: bool = False,
        fn: Callable[..., Any] | None = None,
        tool: Tool[Any] | None = None,
        tools: tuple[Tool[Any], ...] = (),
    ) -> None:
        super().__init__(driver, name)
        self.kind: EffectKind = kind
        self.args = args
        self.digest = digest
        self.show = show
        self.returns = returns
        self.retry = retry
        self.timeout = timeout
        self.pure = pure
        self.fn = fn
        self.tool = tool
        self.tools = tools
        self.hosts = HOSTS.get()
        self.attempt = 1
        self.due_ms: int | None = None
        self.performing = False
        self.parked: str | None = None  # why no attempt is made for now
        self.usage: dict[str, Any] | None = None

    def activate(self) -> None:
        """Ask for the first attempt, or go on waiting for the next one."""
        self.driver.effects += 1
        record = self.record
        if record is not None and record.status == "scheduled":
            self.attempt = record.attempt + 1
            self.usage = record.usage
            self.due_ms = record.due_ms
            if (record.error or {}).get("type") == PARKED:
                self._rest(record.error["message"])
            if self.due_ms is not None and self.due_ms > self.driver.journal.now_ms:
                self.driver.journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))
                return
        self.perform()

    def perform(self) -> None:
        """Ask for an attempt."""
        self.performing = True
        self.driver.performing += 1
        self.due_ms = None
        if self.parked is not None:
            self.driver.effects += 1
        journal = self.driver.journal
        journal.decision.perform.append(
            Perform(
                self.path,
                self.resume,
                self.kind,
                self.name,
                self.args,
                self.returns,
                self.retry,
                self.timeout,
                self.attempt,
                self.pure,
                f"{journal.run_id}/{self.path}/{self.digest[:8]}",
                self.fn,
                self.tool,
                self.tools,
                self.stage,
                self.hosts,
            )
        )

    def fired(self, due_ms: int) -> None:
        """Begin the next attempt, when it is time for it."""
        if self.due_ms == due_ms and not self.performing:
            self.perform()

    def expects(self, message: EffectDone) -> bool:
        """Return whether this is the end of the attempt that is under way."""
        return self.performing and self.attempt == message.attempt and self.resume == message.resume

    def done(self, message: EffectDone) -> None:
        """Record the end of an attempt: decided, or to be tried again."""
        self.performing = False
        self.driver.performing -= 1
        if message.parked is not None:
            self._park(message.parked)
            return
        self.parked = None
        error = message.error
        output = None
        if error is None:
            try:
                output = message.value if message.encoded else to_json(message.value, self.returns)
                if self.returns is not None:
                    from_json(output, self.returns)
            except BaseException as unfit:  # noqa: BLE001  serializers and validators of a result are user code
                error = ErrorInfo.of(unfit)
                error.rejected = True
                error.message = f"the result of {self.name} does not fit its type: {error.message}"
                output = _output_of(message)
        self._use(message)
        if error is not None and self._again(error):
            self._retry(message, error)
            return
        self.driver.effects -= 1
        self.decide(
            "completed" if error is None else "failed",
            attempt=self.attempt,
            input=shown(self.show),
            output=output,
            error=None if error is None else error_json(error),
            usage=self.usage,
            started_ms=message.started_ms,
            finished_ms=message.finished_ms or None,
        )

    def outcome(self, entry: Entry) -> None:
        """Set the typed result, or the error."""
        if entry.status == "completed":
            try:
                self.value = from_json(entry.output, self.returns)
            except ValidationError as unfit:
                what = f"the record no longer fits its type: {error_message(unfit)}"
                self.error = self._failed("ValidationError", what, entry)
            return
        error = entry.error or {}
        self.error = self._failed(
            error.get("type", ""), error.get("message", ""), entry, timed_out=bool(error.get("timed_out"))
        )

    def abandon(self) -> None:
        """Stop the attempt, or the wait for the next one."""
        journal = self.driver.journal
        if journal.replaying:
            return
        if self.parked is None or self.performing:
            self.driver.effects -= 1
        if self.performing:
            self.performing = False
            self.driver.performing -= 1
            journal.decision.cancel.append(self.path)
        elif self.due_ms is not None:
            self.append("cancelled", attempt=self.attempt - 1)

    def _park(self, reason: str) -> None:
        """Leave memory until somebody helps; look again by the clock, and record only what is new."""
        journal = self.driver.journal
        self.due_ms = journal.now_ms + PARK_MS
        if self.parked != reason:
            self.append(
                "scheduled",
                attempt=self.attempt - 1,
                input=shown(self.show),
                error={"type": PARKED, "message": reason},
                usage=self.usage,
                due_ms=self.due_ms,
            )
        self._rest(reason)
        journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))

    def _rest(self, reason: str) -> None:
        self.parked = reason
        self.driver.effects -= 1  # the run is not at work: its place is for others

    def _use(self, message: EffectDone) -> None:
        """Add what an attempt has used to that of the attempts before it, because one entry stands for all."""
        given = dict(message.usage or {})
        if message.recorded:
            given["recorded"] = 1
        for name, value in (self.usage or {}).items():
            if isinstance(value, int | float):
                given[name] = value + (given.get(name) or 0)
        self.usage = given or None

    def _again(self, error: ErrorInfo) -> bool:
        if error.rejected or self.attempt >= self.retry.attempts:
            return False
        names = error.types or (error.type,)
        return "Retry" in names or self.retry.allows(names)

    def _retry(self, message: EffectDone, error: ErrorInfo) -> None:
        journal = self.driver.journal
        delay = error.after
        if delay is None:
            delay = self.retry.delay(self.attempt, seeded(journal.run_id, self.path, self.attempt))
        self.due_ms = journal.now_ms + int(delay * 1000)
        self.append(
            "scheduled",
            attempt=self.attempt,
            input=shown(self.show),
            error=error_json(error),
            usage=self.usage,
            due_ms=self.due_ms,
            started_ms=message.started_ms,
            finished_ms=message.finished_ms or None,
        )
        journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))
        self.attempt += 1

    def _failed(self, type_: str, message: str, entry: Entry, *, timed_out: bool = False) -> StepFailed:
        kind = TimedOut if timed_out else StepFailed
        return kind(
            f"{self.kind} {self.name} failed after {entry.attempt} attempt{'s' * (entry.attempt != 1)}: "
            f"{type_}: {message}",
            path=self.path,
            name=self.name,
            type=type_,
            attempts=entry.attempt,
        )


def _output_of(message: EffectDone) -> Any:
    """Return a result that does not fit its type as well as JSON can show it: it may have been paid for."""
    if message.encoded:
        return message.value
    try:
        return shown(args_to_json(message.value))
    except (ValueError, TypeError):
        return {"type": f"{type(message.value).__module__}.{type(message.value).__qualname__}"}


def error_json(error: ErrorInfo) -> dict[str, Any]:
    """Return an error as it is recorded."""
    recorded: dict[str, Any] = {"type": error.type, "message": error.message}
    if error.traceback:
        recorded["traceback"] = error.traceback
    if error.timed_out:
        recorded["timed_out"] = True
    if error.rejected:
        recorded["rejected"] = True
    return recorded
