"""Waits for a condition with a limit, so that no test waits for the clock."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

STEP_S = 0.02
PATIENCE_S = 90.0
"""For what nobody has promised a time: it tells a test that hangs from a machine that is busy, and nothing else.

Who tests a promise gives its own limit, or better reads the times that processes and the log have written down.
"""


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    seconds: float = PATIENCE_S,
    what: Callable[[], object] | str = "the condition",
) -> None:
    """Return as soon as `condition` is true; AssertionError with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if await value if inspect.isawaitable(value) else value:
            return
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        await asyncio.sleep(STEP_S)
