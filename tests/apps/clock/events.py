"""What schedules say."""

from __future__ import annotations

from schemas import Event


class Struck(Event, type="clock.struck", key="name"):
    """A slot's function was called."""

    name: str
