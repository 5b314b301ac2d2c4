"""Sleeps and signals: the run leaves memory, a timer or a signal brings it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from streams.engine.driver import Driver, TimedOp
from streams.engine.jsonable import digest, from_json
from streams.errors import TimedOut

if TYPE_CHECKING:
    from streams.engine.entry import Entry

T = TypeVar("T")


class SleepOp(TimedOp[None]):
    """Waits for a time; `timeout` seconds from now."""

    __slots__ = ()
    kind = "sleep"

    def __init__(self, driver: Driver, seconds: float) -> None:
        super().__init__(driver, "sleep", seconds)

    def schedule(self) -> None:
        """Record when it ends."""
        super().schedule()
        self.append("scheduled", due_ms=self.due_ms, input=self.timeout)

    def activate(self) -> None:
        """Ask for the timer."""
        if self.record is not None and self.record.due_ms is not None:
            self.due_ms = self.record.due_ms
        self.arm()

    def fired(self, due_ms: int) -> None:
        """Record that the time has come."""
        if due_ms == self.due_ms:
            self.decide("fired", due_ms=due_ms, input=self.timeout)

    def abandon(self) -> None:
        """Settle the path, so that no timer stays for it."""
        if not self.driver.journal.replaying:
            self.append("cancelled")


class WaitOp(TimedOp[T]):
    """Waits for a signal of a name whose data fit a type and a predicate, for at most `timeout` seconds."""

    __slots__ = ("event", "match")
    kind = "wait"

    def __init__(
        self, driver: Driver, name: str, event: Any, match: Callable[[Any], bool] | None, timeout: float | None
    ) -> None:
        super().__init__(driver, name, timeout)
        self.event = event
        self.match = match
        self.digest = digest(name)

    def schedule(self) -> None:
        """Record what is waited for and until when."""
        super().schedule()
        self.append("scheduled", due_ms=self.due_ms)

    def activate(self) -> None:
        """Take the first signal of the inbox that fits, or wait for the next."""
        if self.record is not None:
            self.load(self.record)
        for signal in self.driver.inbox.values():
            if self.take(signal):
                return
        self.arm()

    def take(self, signal: Entry) -> bool:
        """Take a signal if it fits; it then leaves the inbox."""
        if signal.name != self.name or not self._fits(signal.output):
            return False
        signal_id = signal.path.removeprefix("~in/")
        del self.driver.inbox[signal_id]
        self.decide("completed", input={"signal": signal_id})
        return True

    def fired(self, due_ms: int) -> None:
        """Record that the time is over."""
        if due_ms == self.due_ms:
            self.decide("timed_out")

    def outcome(self, entry: Entry) -> None:
        """Set the signal's data as its type, or TimedOut."""
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
        """Settle the path, so that no timer stays for it."""
        if not self.driver.journal.replaying:
            self.append("cancelled")

    def _fits(self, data: Any) -> bool:
        try:
            event = from_json(data, self.event)
            return self.match is None or bool(self.match(event))
        except ValidationError:
            return False
