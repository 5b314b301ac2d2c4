"""What the tests say on the bus and to runs."""

from __future__ import annotations

from schemas import Event


class Counted(Event, type="probe.counted", key="name"):
    """Something that is counted under its name; `then` says what the reaction makes of it."""

    name: str
    amount: int = 1
    then: str = "echo"  # echo, start, nothing, fail, mixed, mend


class HoldAsked(Event, type="probe.hold_asked", key="name"):
    """A reaction is to be held up for so many seconds before it says its echo."""

    name: str
    how: str
    seconds: float


class Echoed(Event, type="probe.echoed", key="name"):
    """What the reaction to `Counted` says."""

    name: str
    amount: int


class Approval(Event, type="probe.approval", key="name"):
    """What a waiting run waits for."""

    name: str
