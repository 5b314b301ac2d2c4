"""Sleeps and signals: the run leaves memory, a timer or somebody's word brings it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from streams.engine.decision import Timer
from streams.engine.driver import Driver, Op
from streams.engine.jsonable import digest, from_json
from streams.errors import TimedOut

if TYPE_CHECKING:
    from streams.engine.entry import Entry

T = TypeVar("T")


class SleepOp(Op[None]):
    """Waits for a time; `seconds` from now."""

    __slots__ = ("due_ms", "seconds")
    kind = "sleep"

    def __init__(self, driver: Driver, seconds: float) -> None:
        super().__init__(driver, "sleep")
        self.seconds = seconds
        self.due_ms = 0

    def schedule(self) -> None:
        """Record when it ends."""
        journal = self.driver.journal
        journal.forbid_new(self.path, self.kind, self.name)
        self.due_ms = journal.now_ms + int(self.seconds * 1000)
        journal.append(
            self.path,
            self.kind,
            self.name,
            status="scheduled",
            stage=self.stage,
            due_ms=self.due_ms,
            input=self.seconds,
        )

    def activate(self) -> None:
        """Ask for the timer."""
        if self.record is not None and self.record.due_ms is not None:
            self.due_ms = self.record.due_ms
        self.driver.journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))

    def fired(self, due_ms: int) -> None:
        """Record that the time has come."""
        if due_ms != self.due_ms:
            return
        entry = self.driver.journal.append(
            self.path,
            self.kind,
            self.name,
            status="fired",
            resume=self.resume,
            stage=self.stage,
            due_ms=due_ms,
            input=self.seconds,
        )
        self.driver.ready.append((self, entry))

    def abandon(self) -> None:
        """Settle the path, so that no timer is kept for it."""
        if not self.driver.journal.replaying:
            self.driver.journal.append(self.path, self.kind, self.name, status="cancelled", resume=self.resume)


class WaitOp(Op[T]):
    """Waits for a signal of a name whose data fit a type and a predicate, for at most `timeout` seconds."""

    __slots__ = ("due_ms", "event", "match", "timeout")
    kind = "wait"

    def __init__(
        self, driver: Driver, name: str, event: Any, match: Callable[[Any], bool] | None, timeout: float | None
    ) -> None:
        super().__init__(driver, name)
        self.event = event
        self.match = match
        self.timeout = timeout
        self.digest = digest(name)
        self.due_ms: int | None = None

    def schedule(self) -> None:
        """Record what is waited for and until when."""
        journal = self.driver.journal
        journal.forbid_new(self.path, self.kind, self.name)
        if self.timeout is not None:
            self.due_ms = journal.now_ms + int(self.timeout * 1000)
        journal.append(
            self.path,
            self.kind,
            self.name,
            status="scheduled",
            digest=self.digest,
            stage=self.stage,
            due_ms=self.due_ms,
        )

    def activate(self) -> None:
        """Take the first signal of the inbox that fits, or wait for the next."""
        journal = self.driver.journal
        if self.record is not None:
            self.due_ms = self.record.due_ms
            if self.due_ms is not None and self.timeout is not None and self.record.seq < journal.resumed_seq:
                self.due_ms = max(self.due_ms, journal.resumed_ms + int(self.timeout * 1000))
        for signal in self.driver.inbox.values():
            if self.take(signal):
                return
        if self.due_ms is not None:
            journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))

    def take(self, signal: Entry) -> bool:
        """Take a signal if it fits; it then leaves the inbox."""
        if signal.name != self.name or not self._fits(signal.output):
            return False
        signal_id = signal.path.removeprefix("~in/")
        del self.driver.inbox[signal_id]
        self._decide("completed", {"signal": signal_id})
        return True

    def fired(self, due_ms: int) -> None:
        """Record that the time is over."""
        if due_ms == self.due_ms:
            self._decide("timed_out", None)

    def outcome(self, entry: Entry) -> None:
        """Give the signal's data as its type, or raise TimedOut."""
        if entry.status == "completed":
            signal = self.driver.inbox_data[entry.input["signal"]]
            self.driver.inbox.pop(entry.input["signal"], None)
            self.value = from_json(signal.output, self.event)
            return
        self.error = TimedOut(
            f"no {self.name} came within {self.timeout:g} s" if self.timeout else f"no {self.name} came in time",
            path=self.path,
            name=self.name,
            type="TimedOut",
        )

    def abandon(self) -> None:
        """Settle the path, so that no timer is kept for it."""
        if not self.driver.journal.replaying:
            self._append("cancelled", None)

    def _decide(self, status: str, input: Any) -> None:
        self.driver.ready.append((self, self._append(status, input)))

    def _append(self, status: str, input: Any) -> Entry:
        return self.driver.journal.append(
            self.path,
            self.kind,
            self.name,
            status=status,
            resume=self.resume,
            digest=self.digest,
            stage=self.stage,
            input=input,
        )

    def _fits(self, data: Any) -> bool:
        try:
            event = from_json(data, self.event)
            return self.match is None or bool(self.match(event))
        except ValidationError:
            return False
