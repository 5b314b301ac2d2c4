"""A world that steps act on: it can be down, and remembers what was done in which order."""

from __future__ import annotations

from schemas import Event
from streams import RetryPolicy

ONCE = RetryPolicy(attempts=1)


class Cleaned(Event, type="test.cleaned", key="run"):
    run: str


class World:
    """What steps did, in order, and whether it is up."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.down = True

    def do(self, what: str) -> str:
        self.done.append(what)
        return what

    def fragile(self, what: str) -> str:
        if self.down:
            raise ConnectionError(f"{what} is down")
        return self.do(what)
