"""Where agents note what they do outside; the simulator reads it, and says how long each effect takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple


class Effect(NamedTuple):
    """One execution of an effect: what it was, under which idempotency key, in which process and when."""

    name: str
    key: str
    arguments: str
    process: int
    began: float
    ended: float | None
    failed: bool = False


class EffectLog:
    """All effects of one simulation."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.active: dict[int, Effect] = {}
        self.duration: Callable[[], float] = lambda: 0.01
        self.fails: Callable[[], bool] = lambda: False
        self.clock: Callable[[], float] = lambda: 0.0
        self.process: Callable[[], int] = lambda: 0
        self.on_begin: Callable[[Effect], None] = lambda _effect: None

    def begin(self, name: str, key: str, arguments: object) -> int:
        """Note the start of an effect; return its number."""
        effect = Effect(name, key, repr(arguments), self.process(), self.clock(), None)
        number = len(self.effects)
        self.effects.append(effect)
        self.active[number] = effect
        self.on_begin(effect)
        return number

    def end(self, number: int, *, failed: bool = False) -> None:
        """Note its end."""
        self.effects[number] = self.effects[number]._replace(ended=self.clock(), failed=failed)
        self.active.pop(number, None)

    async def perform(self, name: str, key: str, arguments: object) -> None:
        """Do an effect: it takes a while, and may fail."""
        number = self.begin(name, key, arguments)
        failed = True
        try:
            await asyncio.sleep(self.duration())
            if self.fails():
                raise RuntimeError("the other side is down")
            failed = False
        finally:
            self.end(number, failed=failed)


LOG = EffectLog()
