"""Readers and writers of counters, with a model that knows what every answer may say.

A writer repeats an event under its id until it is acknowledged, so the model knows each counter but for what is under
way. An answer is wrong if it says less than what was acknowledged up to the offset that it was asked to have seen,
less than an answer that had ended before it was asked, or more than was ever sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from schemas.attributes import new_id
from streams import clock
from tests.faults.rig.asker import Asker, AskError

ROUTE = "/tables/{name}/{key"  # as it begins: the key may hold slashes
BOUND_S = 5.0  # the gateway asks again for 3 s; the next bucket of its own histogram is at 5 s


@dataclass(slots=True)
class Key:
    """One counter: how often it was sent and acknowledged, the last offset, the most that an answer has said."""

    sent: int = 0
    acknowledged: int = 0
    offset: int = -1
    seen: int = 0


@dataclass
class Model:
    """What is known, what was wrong, and how long answers took (seconds, with the status)."""

    keys: dict[str, Key]
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    took: list[tuple[float, int]] = field(default_factory=list)

    def times(self) -> list[float]:
        """Return how long answers with a row took, in milliseconds, sorted; forget them."""
        found = sorted(seconds * 1000 for seconds, status in self.took if status == 200)
        self.took.clear()
        return found

    def slowest(self) -> float:
        """Return how long the slowest answer took, in seconds."""
        return max((seconds for seconds, _ in self.took), default=0.0)


def late(metrics: str) -> int:
    """Return how many answers to rows took the gateway longer than BOUND_S, by its own metrics.

    A client's clock also counts what the client waits for the processor, of which it takes more than anybody here.
    """
    histogram = "streams_gateway_request_seconds"
    samples = [
        one for family in parse(metrics) for one in family.samples if one.labels.get("route", "").startswith(ROUTE)
    ]
    in_time = [one.value for one in samples if one.name == f"{histogram}_bucket" and float(one.labels["le"]) == BOUND_S]
    every = [one.value for one in samples if one.name == f"{histogram}_count"]
    assert len(in_time) == len(every) == 1, metrics
    return int(every[0] - in_time[0])


class Traffic:
    """Writes and reads by HTTP until it is told to stop."""

    def __init__(self, gateway: Asker, names: list[str], seed: int) -> None:
        """Count under `names` through `gateway`."""
        self.model = Model({name: Key() for name in names})
        self._gateway = gateway
        self._chance = Random(seed)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped.set()

    async def write(self, name: str, *, pause: float = 0.05) -> None:
        """Count one more under `name` again and again."""
        while not self._stopped.is_set():
            await self.count(name)
            await self._pause(pause)

    async def count(self, name: str) -> None:
        """Count one more; returns once it is acknowledged."""
        key = self.model.keys[name]
        event = {"type": "probe.counted", "id": new_id(), "data": {"name": name, "amount": 1, "then": "nothing"}}
        key.sent += 1
        while True:
            try:
                answer = await self._gateway.post("/events", event)
            except AskError:
                continue
            if answer.status == 202:
                key.acknowledged += 1
                key.offset = max(key.offset, answer.json()["offset"])
                return

    async def read(self, rate: float) -> None:
        """Read `rate` times a second, half of the time what was acknowledged; whatever an answer takes."""
        begun, asked = clock.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not self._stopped.is_set():
                asked += 1
                await self._pause(max(begun + asked / rate - clock.monotonic(), 0))
                name = self._chance.choice(sorted(self.model.keys))
                group.create_task(self.ask(self._gateway, f"/tables/counts/{name}", name, own=asked % 2 == 0))

    async def ask(self, client: Asker, path: str, name: str, *, own: bool) -> bool:
        """Ask for a row and hold the answer against the model; `own`: with the offset of what was acknowledged.

        Return whether there was a row.
        """
        model, key = self.model, self.model.keys[name]
        least = max(key.seen, key.acknowledged if own else 0)
        query = {"consistency": f"offset:{key.offset}"} if own and key.offset >= 0 else {}
        begun = clock.monotonic()
        try:
            answer = await client.get(path, **query)
        except AskError as error:
            model.wrong.append(f"{name}: {error} after {clock.monotonic() - begun:.1f} s")
            return False
        model.took.append((clock.monotonic() - begun, answer.status))
        model.statuses[answer.status] += 1
        if answer.status == 200:
            self._judge(name, least, answer.json())
        elif answer.status == 404 and least > 0:
            model.wrong.append(f"{name}: no row, where {least} were counted")
        elif answer.status not in (404, 503):
            model.wrong.append(f"{name}: {answer.status} {answer.body[:200]!r}")
        return answer.status == 200

    def _judge(self, name: str, least: int, row: dict[str, Any]) -> None:
        key, said = self.model.keys[name], int(row["value"]["events"])
        if not least <= said <= key.sent:
            self.model.wrong.append(f"{name}: {said}, which is not between {least} and {key.sent}")
        key.seen = max(key.seen, said)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
