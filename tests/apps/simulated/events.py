"""What the simulator's clients say."""

from __future__ import annotations

from schemas import Event


class Noted(Event, type="sim.noted", key="name"):
    """Something that is counted under its name; `start` makes the reaction start a run."""

    name: str
    amount: int = 1
    start: bool = False


class Answered(Event, type="sim.answered", key="name"):
    """What the reaction says of each `Noted`."""

    name: str
    amount: int


class Approval(Event, type="sim.approval", key="name"):
    """What a waiting run waits for."""

    name: str
