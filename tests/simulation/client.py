"""The client of a run: it submits, signals, cancels, publishes and asks, and repeats what was not acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from tests.simulation.http import Answer
from tests.simulation.plan import Order
from tests.simulation.world import GATEWAY, World

_URL = f"http://{GATEWAY}"
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass
class Promise:
    """What the gateway has acknowledged of one order."""

    order: Order
    run_id: str = ""
    accepted: bool = False
    signalled: bool = False
    cancelled: bool = False
    event_id: str = ""
    seen: str = ""  # the last status that a query gave


@dataclass
class Client:
    """Everything that is asked for in a run."""

    world: World
    promises: list[Promise] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)  # requests that are repeated, with the last answer

    def __post_init__(self) -> None:
        self.chance = Random(f"client {self.world.plan.seed}")

    async def run(self) -> None:
        """Work the plan's orders off."""
        async with asyncio.TaskGroup() as group:
            for order in self.world.plan.orders:
                promise = Promise(order)
                self.promises.append(promise)
                group.create_task(self._order(promise))

    async def _order(self, promise: Promise) -> None:
        order, scheduler = promise.order, self.world.scheduler
        await asyncio.sleep(max(order.at - scheduler.now, 0))
        if order.kind == "event":
            await self._publish(promise)
            return
        await self._submit(promise)
        await asyncio.sleep(self.chance.uniform(0, 5))
        await self._look(promise)
        if order.kind == "waiter":
            await self._signal(promise)
        elif order.kind == "cancel":
            await self._cancel(promise)
        for _ in range(3):
            await asyncio.sleep(self.chance.uniform(0, 10))
            await self._look(promise)

    async def _publish(self, promise: Promise) -> None:
        order = promise.order
        promise.event_id = hashlib.sha256(f"{order.name} {order.at}".encode()).hexdigest()[:16]
        data = {"name": order.name, **order.values}
        body = {"type": "sim.noted", "id": promise.event_id, "data": data}
        await self._insist("POST", "/events", body)
        promise.accepted = True

    async def _submit(self, promise: Promise) -> None:
        order = promise.order
        agent = "work" if order.kind == "cancel" else order.kind
        promise.run_id = f"{order.name}-{self.world.plan.seed}"
        body = {"agent": agent, "input": {"name": order.name, **order.values}, "run_id": promise.run_id}
        await self._insist("POST", "/runs", body)
        promise.accepted = True
        if self.chance.random() < 0.3:  # the same once more
            await self._insist("POST", "/runs", body)

    async def _signal(self, promise: Promise) -> None:
        path = f"/runs/{promise.run_id}/signals/sim.approval"
        await self._insist("POST", path, {"name": promise.order.name}, key=f"s-{promise.run_id}")
        promise.signalled = True

    async def _cancel(self, promise: Promise) -> None:
        said = await self._insist("POST", f"/runs/{promise.run_id}/cancel", {}, key=f"c-{promise.run_id}", also=(409,))
        promise.cancelled = said.status == 202

    async def _look(self, promise: Promise) -> None:
        """Ask for a run that was acknowledged: it must be known, and what has ended stays as it is."""
        said = await self.ask("GET", f"/runs/{promise.run_id}")
        if said is None or said.status == 503:
            return
        if said.status != 200:
            self.violations.append(f"run {promise.run_id} was acknowledged and its query says {said.status}")
            return
        status = said.json()["status"]
        if promise.seen in TERMINAL and status != promise.seen:
            self.violations.append(f"run {promise.run_id} had {promise.seen} and is {status} now")
        promise.seen = status

    async def _insist(
        self, method: str, path: str, body: Any, *, key: str | None = None, also: tuple[int, ...] = ()
    ) -> Answer:
        """Repeat a request until it is accepted; any other answer than 503 is a violation."""
        pause = 0.2
        while True:
            said = await self.ask(method, path, body, key=key)
            if said is not None and (said.status == 202 or said.status in also):
                self.open.pop(f"{method} {path} {body}", None)
                return said
            self.open[f"{method} {path} {body}"] = "nothing" if said is None else f"{said.status} {said.body[:200]!r}"
            if said is not None and said.status not in (503, 502, 429):
                self.violations.append(f"{method} {path} was answered {said.status}: {said.body[:300]!r}")
                return said
            await asyncio.sleep(pause * self.chance.uniform(0.5, 1.5))
            pause = min(pause * 2, 3.0)

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer | None:
        """Return the answer of the gateway, None when there is none."""
        headers = {"host": GATEWAY}
        raw = b""
        if body is not None:
            raw = orjson.dumps(body)
            headers["content-type"] = "application/json"
        if key is not None:
            headers["idempotency-key"] = key
        try:
            said = await self.world.http.request(method, _URL + path, headers=headers, body=raw, seconds=15)
        except OSError:
            return None
        self.statuses[said.status] = self.statuses.get(said.status, 0) + 1
        return said
