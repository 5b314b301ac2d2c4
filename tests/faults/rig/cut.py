"""A reader of server-sent events whose connection is cut again and again, in the middle of whatever comes.

It does what the specification says of a browser: an event counts once its blank line is there, the id that came last is
sent as `Last-Event-ID`, and what was cut off is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import aiohttp
import orjson

from tests.faults.rig.waiting import PATIENCE_S

SILENCE_S = PATIENCE_S


class Told(NamedTuple):
    """One event that was dispatched."""

    id: str
    name: str
    data: Any


class CutReader:
    """Reads one stream over many connections."""

    def __init__(self, url: str, chance: Random) -> None:
        """Read nothing yet."""
        self._url = url
        self._chance = chance
        self.last = ""
        self.told: list[Told] = []
        self.connections = 0

    async def read(self, cuts: int, expected: int, ended: Callable[[list[Told]], bool]) -> None:
        """Read until `ended`, being cut so many times while about `expected` events come; TimeoutError at silence."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not ended(self.told):
                left = max(expected - len(self.told), 1)
                more = cuts - self.connections
                goal = (
                    len(self.told) + self._chance.randint(0, max(2 * left // (more + 1) - 1, 0)) if more > 0 else None
                )
                await self._connection(session, goal, ended)

    async def _connection(
        self, session: aiohttp.ClientSession, goal: int | None, ended: Callable[[list[Told]], bool]
    ) -> None:
        headers = {"accept": "text/event-stream", **({"last-event-id": self.last} if self.last else {})}
        self.connections += 1
        rest = b""
        async with session.get(self._url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            async for chunk in answer.content.iter_any():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    self._dispatch(block.decode())
                    if goal is not None and len(self.told) >= goal:
                        answer.close()  # with all that is still under way
                        return
                    if goal is None and ended(self.told):
                        return

    def _dispatch(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.last = fields.get("id", self.last)
        if "data" in fields:
            name = fields.get("event", "message")
            self.told.append(Told(fields.get("id", ""), name, orjson.loads(fields["data"])))
