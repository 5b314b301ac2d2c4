"""What schedules say."""

from __future__ import annotations

from schemas import Event


class Struck(Event, type="clock.struck", key="name"):
    """A slot's function was called."""

    name: str


class Rung(Event, type="clock.rung", key="name"):
    """Somebody rings; of several in a row one is answered."""

    name: str


class Answered(Event, type="clock.answered", key="name"):
    """What the ringing came to."""

    name: str


class Cursed(Event, type="clock.cursed", key="name"):
    """No reaction can handle it."""

    name: str
