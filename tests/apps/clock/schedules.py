"""Schedules of all kinds; those that start runs begin paused by a distant start and are driven by triggers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from streams import StartRun, days, schedule
from tests.apps.clock.agents import Nap, napper
from tests.apps.clock.events import Struck

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@schedule(cron="* * * * * *")
def every_second() -> Struck:
    """Say something."""
    return Struck(name="every_second")


@schedule(every=1, catch_up=2, overlap="allow")
def fleeting() -> Struck:
    """Say something that is of no use two seconds later."""
    return Struck(name="fleeting")


@schedule(cron="* * * * * *", overlap="buffer_all")
def run_every_second() -> StartRun:
    """Start a run that ends at once; where it cannot, the next one waits."""
    return StartRun(napper, Nap(seconds=0))


@schedule(every=1, overlap="allow")
async def slow_function() -> Struck:
    """Take longer than the next slot."""
    await asyncio.sleep(2.5)
    return Struck(name="slow_function")


@schedule(every=1, overlap="skip")
def skips() -> StartRun:
    """Start a run that lasts for three slots."""
    return StartRun(napper, Nap(seconds=3.2))


@schedule(every=1, overlap="buffer_one")
def buffers() -> StartRun:
    """Start a run that lasts for three slots."""
    return StartRun(napper, Nap(seconds=3.2))


@schedule(every=1, overlap="cancel_other")
def cancels() -> StartRun:
    """Start a run that never ends by itself."""
    return StartRun(napper, Nap(seconds=1000))


@schedule(every=days(1), start=LONG_AGO)
def daily() -> Struck:
    """Say something, when somebody asks for it."""
    return Struck(name="daily")


@schedule(every=2)
def broken() -> None:
    """Fail at once and for good."""
    raise ValueError("this schedule has a defect")
