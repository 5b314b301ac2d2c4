"""Runs that leave lines when they begin and end, in files that all workers share."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from streams import RetryPolicy, Run, agent
from tests.apps.limits.agents import line
from tests.faults.rig.waiting import until

ONCE = RetryPolicy(attempts=1)


class Order(BaseModel):
    """Whose it is, where the lines go, how long the work takes (seconds), and what else it is to do."""

    folder: str
    customer: str | None = None
    seconds: float = 0.0
    then: str = ""


async def spend(order: Order, name: str) -> None:
    """Leave a line before and after the work."""
    line(order.folder, name, "begin")
    await asyncio.sleep(order.seconds)
    line(order.folder, name, "end")


@agent(concurrency_key="customer")
async def keyed(order: Order, run: Run) -> str:
    """Work, one run of a customer at a time; `then` says what else it does.

    `sleep` waits in the middle, `self` calls itself, `fail` fails once, `hold` ends when there is a file `let go`.
    """
    name = f"keyed-{order.customer}"

    async def begin() -> None:
        line(order.folder, name, "begin")

    async def end() -> None:
        if order.then == "hold":
            await until((Path(order.folder) / "let go").exists)
        await asyncio.sleep(order.seconds)
        line(order.folder, name, "end")

    if order.then == "self":
        return await run.call(keyed, order.model_copy(update={"then": ""}))
    await run.step(begin)
    if order.then == "sleep":
        await run.sleep(order.seconds)
    await run.step(end)
    if order.then == "fail":
        raise RuntimeError("as asked")
    return "done"


@agent
async def plain(order: Order, run: Run) -> str:
    """Work in one step."""

    async def act() -> None:
        await spend(order, "plain")

    await run.step(act)
    return "done"


@agent(pool="scraper")
async def fetcher(order: Order, run: Run) -> str:
    """Work in the pool of the scrapers."""

    async def act() -> None:
        await spend(order, "fetcher")

    await run.step(act)
    return "done"
