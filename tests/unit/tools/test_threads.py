"""Threads of users' plain functions: bounded, with the caller's context, and no reason to stay alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from streams.tools._threads import FunctionThreads

NAME: ContextVar[str] = ContextVar("name", default="nobody")


async def test_a_function_gets_its_arguments_and_the_context_of_its_caller() -> None:
    NAME.set("caller")

    def fn(number: int, *, more: int) -> tuple[int, str, bool]:
        return number + more, NAME.get(), threading.current_thread() is threading.main_thread()

    assert await FunctionThreads().run(fn, 1, more=2) == (3, "caller", False)


async def test_what_it_raises_is_raised_at_the_caller() -> None:
    def fn() -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        await FunctionThreads().run(fn)


async def test_the_loop_turns_while_functions_block_and_no_more_run_than_may() -> None:
    threads, gate = FunctionThreads(3), threading.Event()
    running: list[int] = []
    lock, most = threading.Lock(), 0
    loop, full = asyncio.get_running_loop(), asyncio.Event()

    def fn(number: int) -> int:
        nonlocal most
        with lock:
            running.append(number)
            most = max(most, len(running))
            if most == 3:
                loop.call_soon_threadsafe(full.set)
        assert gate.wait(60)
        with lock:
            running.remove(number)
        return number

    tasks = [asyncio.ensure_future(threads.run(fn, number)) for number in range(10)]
    await full.wait()
    gate.set()
    assert await asyncio.gather(*tasks) == list(range(10))
    assert (most, threads.count) == (3, 3)


async def test_threads_are_used_again() -> None:
    threads = FunctionThreads()
    for number in range(20):
        assert await threads.run(lambda number=number: number) == number  # type: ignore[misc]
    assert threads.count == 1


async def test_a_caller_that_gives_up_before_its_turn_runs_nothing() -> None:
    threads, gate = FunctionThreads(1), threading.Event()
    ran: list[int] = []
    first = asyncio.ensure_future(threads.run(gate.wait, 60))
    await asyncio.sleep(0)  # it is in the thread, or first in the queue of the only one
    second = asyncio.ensure_future(threads.run(ran.append, 2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second  # by now the thread has been told
    gate.set()
    assert await first
    await threads.run(lambda: None)
    assert ran == []


def test_a_process_ends_although_a_function_does_not() -> None:
    code = (
        "import asyncio, threading\n"
        "from streams.tools._threads import in_thread\n"
        "async def main():\n"
        "    stuck = asyncio.ensure_future(in_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0.1)\n"
        "    stuck.cancel()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=120, check=True)
