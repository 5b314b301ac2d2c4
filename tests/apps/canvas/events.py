"""What the scenarios say on the bus."""

from __future__ import annotations

from schemas import Event


class Clicked(Event, type="canvas.clicked", key="customer"):
    """Somebody clicked; `kind` says which reaction it is for."""

    customer: str
    number: int
    kind: str


class Collected(Event, type="canvas.collected", key="customer"):
    """What a reaction was given at once."""

    customer: str
    kind: str
    numbers: list[int]


class Answered(Event, type="canvas.answered", key="about"):
    """The answer that a run waits for."""

    about: str
