"""Code that blocks the event loop of its worker, or would end it."""

from __future__ import annotations

import asyncio
import re
import sys
import threading

from streams import RetryPolicy, Run, agent

ONCE = RetryPolicy(attempts=1)
LONG_S = 600


def catastrophe() -> None:
    """Hold the interpreter's lock in C code, for longer than anybody waits."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def leave() -> None:
    """End the process, as the main function of a command line does."""
    sys.exit(3)


def first() -> int:
    """Forget the default."""
    return next(iter([]))


@agent
async def sleeps(run: Run) -> None:
    """Sleep in the event loop."""
    threading.Event().wait(LONG_S)


@agent
async def loops(run: Run) -> None:
    """Never give the event loop back."""
    while True:
        await run.progress("again") if run is None else None


@agent
async def matches(run: Run) -> None:
    """Match in the event loop."""
    catastrophe()


@agent
async def matches_in_a_step(run: Run) -> None:
    """Match in a thread, which keeps the event loop from running all the same."""
    await run.step(catastrophe, retry=ONCE)


async def sleep_in_a_coroutine() -> None:
    """Sleep in the event loop."""
    await asyncio.sleep(0)
    threading.Event().wait(LONG_S)


@agent
async def sleeps_in_a_step(run: Run) -> None:
    """Sleep in an async step."""
    await run.step(sleep_in_a_coroutine, retry=ONCE)


@agent
async def leaves(run: Run) -> None:
    """End the process in a step."""
    await run.step(leave, retry=ONCE)


@agent
async def nothing_first(run: Run) -> int:
    """Raise StopIteration in a step."""
    return await run.step(first, retry=ONCE)


@agent
async def fine(run: Run) -> int:
    """Do what is right."""
    return await run.step(lambda: 1, name="one")
