"""Waits for what must become true, and says what did not, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from streams.cli.demo.errors import DemoError
from streams.cli.io.client import GatewayDown, Refused
from streams.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PACE = 0.05
"""Seconds between two looks."""


async def until(what: str, probe: Callable[[], T | None], seconds: float) -> T:
    """Return what `probe` (blocking, run in a thread) finds once it is not None; DemoError after `seconds`.

    A part that is not reachable or not ready yet is asked again.
    """
    limit, last = monotonic() + seconds, ""
    while True:
        try:
            found = await asyncio.to_thread(probe)
        except GatewayDown as error:
            found, last = None, f" ({error})"
        except Refused as error:
            if error.status < 500 and error.status != 404:
                raise
            found, last = None, f" ({error})"
        if found is not None:
            return found
        if monotonic() > limit:
            message = f"{what}: not seen within {seconds:.0f} s{last}"
            raise DemoError(message)
        await asyncio.sleep(PACE)
