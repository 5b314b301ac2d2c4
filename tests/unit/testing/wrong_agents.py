"""Agents that a crash breaks, each in one way; the line to change ends with `# wrong`."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from schemas.bus import DataProcessed
from streams import Run, StepFailed, agent

COUNT = 0
SENT: list[int] = []
LOG = Path("torture.log")
GENERATOR = random.Random(7)


class Statistics:
    calls = 0


def charge(order: int, detail: str = "") -> str:
    return f"charged {order} {detail}"


def stamp() -> str:
    return datetime.now(UTC).isoformat()  # wrong: clock_in_helper


def send(order: int) -> None:
    SENT.append(order)


@agent
async def counter(order: int, run: Run) -> str:
    global COUNT  # noqa: PLW0603
    COUNT += 1  # wrong: counter
    return await run.step(charge, order, f"{COUNT}")


@agent
async def class_counter(order: int, run: Run) -> str:
    receipt = await run.step(charge, order)
    Statistics.calls += 1  # wrong: class_counter
    return receipt


@agent
async def seeded_once(order: int, run: Run) -> str:
    return await run.step(charge, order, str(GENERATOR.random()))  # wrong: seeded_once


@agent
async def chance(order: int, run: Run) -> str:
    await run.step(charge, order)
    if random.random() < 0.5:  # wrong: chance
        await run.step(charge, 99)
    return "done"


@agent
async def unique_id(order: int, run: Run) -> str:
    return await run.step(charge, order, str(uuid.uuid4()))  # wrong: unique_id


@agent
async def clock(order: int, run: Run) -> str:
    return await run.step(charge, order, datetime.now(UTC).isoformat())  # wrong: clock


@agent
async def clock_in_helper(order: int, run: Run) -> str:
    return await run.step(charge, order, stamp())


@agent
async def day(order: int, run: Run) -> str:
    today = time.strftime("%Y")  # wrong: day
    return await run.step(charge, order, today)


@agent
async def clock_in_result(order: int, run: Run) -> float:
    await run.step(charge, order)
    return time.time()  # wrong: clock_in_result


@agent
async def clock_in_event(order: int, run: Run) -> str:
    summary = f"{time.time()}"  # wrong: clock_in_event
    await run.emit(DataProcessed(source="shop", run_id=run.id, summary=summary))
    return await run.step(charge, order)


@agent
async def environment(order: int, run: Run) -> str:
    return await run.step(charge, order, os.environ.get("REGION", "eu"))  # wrong: environment


@agent
async def environment_item(order: int, run: Run) -> str:
    return await run.step(charge, order, os.environ["PATH"])  # wrong: environment_item


@agent
async def order_of_set(order: int, run: Run) -> str:
    regions = {"eu", "us", "asia"}
    for region in regions:  # wrong: order_of_set
        await run.step(charge, order, region)
    return "done"


@agent
async def order_of_gather(order: int, run: Run) -> list[str]:
    regions = frozenset({"eu", "us", "asia"})
    return await run.gather(*[run.step(charge, order, region) for region in regions])  # wrong: order_of_gather


@agent
async def order_of_join(order: int, run: Run) -> str:
    return await run.step(charge, order, ",".join({"eu", "us", "asia"}))  # wrong: order_of_join


@agent
async def retry(order: int, run: Run) -> str:
    while True:
        try:
            return await run.step(charge, order)  # wrong: retry
        except StepFailed:
            await run.sleep(10)


@agent
async def retry_with_key(order: int, run: Run) -> str:
    def pay(order: int, key: str) -> str:
        return f"{order} {key}"

    for attempt in range(3):
        try:
            return await run.step(pay, order, key=f"{order}-{attempt}")  # wrong: retry_with_key
        except StepFailed:
            await run.progress("again")
    return "not paid"


@agent
async def effect_in_memory(order: int, run: Run) -> str:
    receipt = await run.step(charge, order)
    send(order)  # wrong: effect_in_memory
    return receipt


@agent
async def effect_on_file(order: int, run: Run) -> str:
    await run.step(charge, order)
    LOG.write_text("charged")  # noqa: ASYNC240 # wrong: effect_on_file
    return "done"


@agent
async def effect_on_network(order: int, run: Run) -> str:
    await run.step(charge, order)
    socket.create_connection(("127.0.0.1", 9), timeout=1)  # wrong: effect_on_network
    return "done"


@agent
async def effect_of_process(order: int, run: Run) -> str:
    subprocess.run([sys.executable, "-V"], check=True)  # noqa: ASYNC221 # wrong: effect_of_process
    return await run.step(charge, order)


WRONG = {
    "counter": "shared-state",
    "class_counter": "shared-state",
    "seeded_once": "shared-state",
    "chance": "nondeterminism",
    "unique_id": "nondeterminism",
    "clock": "nondeterminism",
    "clock_in_helper": "nondeterminism",
    "day": "nondeterminism",
    "clock_in_result": "nondeterminism",
    "clock_in_event": "nondeterminism",
    "environment": "nondeterminism",
    "environment_item": "nondeterminism",
    "order_of_set": "nondeterminism",
    "order_of_gather": "nondeterminism",
    "order_of_join": "nondeterminism",
    "retry": "retry-under-new-key",
    "retry_with_key": "retry-under-new-key",
    "effect_in_memory": "shared-state",
    "effect_on_file": "effect-outside",
    "effect_on_network": "effect-outside",
    "effect_of_process": "effect-outside",
}
