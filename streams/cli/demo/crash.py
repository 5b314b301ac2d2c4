"""Act two: the worker is killed with -9 in the middle, and another one finishes without doing anything twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from schemas.run import ENDED
from streams.cli.demo.errors import DemoError
from streams.cli.demo.ledger import all_answered, compare
from streams.cli.demo.opening import paid
from streams.cli.demo.owner import RunOwner, alive, kill, owner_of
from streams.cli.demo.pages import HANDBOOK, REPORT
from streams.cli.demo.waiting import until
from streams.clock import monotonic, now_ms
from streams.contract.runs import HistoryEntry, RunHistory, RunState

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene


async def crash_and_resume(stage: Scene, report: DemoReport, run: str, before: list[HistoryEntry]) -> None:
    """Kill the run's owner, wait for the end of the run, and count what was done twice."""
    report.step("The worker that owns the run is killed with -9")
    calls_before, asked = Counter(stage.proxy.calls), stage.pages.requests[REPORT]
    await crash(stage, report, run)
    begun = monotonic()
    await until("the request for the slow page, again", lambda: stage.pages.requests[REPORT] > asked or None, 120)
    report.seen(f"the run goes on {monotonic() - begun:.1f} s after the takeover: it asks for the slow page again")
    await succeeded(stage, report, run)
    await _nothing_twice(stage, report, run, before, calls_before)


async def crash(stage: Scene, report: DemoReport, run: str) -> None:
    """Kill the run's owner, let the slow page answer, and wait until another process owns the run."""
    settings = stage.running.settings
    owner = await until("the run's owner among the workers' heartbeats", lambda: owner_of(settings, run), 30)
    killed_ms, begun = now_ms(), monotonic()
    kill(owner)
    await until("the end of the killed process", lambda: None if alive(owner.pid) else True, 10)
    report.seen(f"worker {owner.slot} (process {owner.pid}) is gone, in the middle of the run")
    stage.pages.released.set()

    def replacement() -> RunOwner | None:
        found = owner_of(settings, run, after_ms=killed_ms)
        return found if found is not None and found.pid != owner.pid else None

    heir = await until("another worker that owns the run", replacement, 60)
    report.seen(f"worker {heir.slot} (process {heir.pid}) took over after {monotonic() - begun:.1f} s")


async def succeeded(stage: Scene, report: DemoReport, run: str) -> None:
    """Wait for the end of the run; DemoError unless it succeeded."""
    begun = monotonic()
    view = await until("the end of the run", lambda: ended(stage, run), 240)
    if view.status != "succeeded":
        message = f"the run ended as {view.status}: {view.error}"
        raise DemoError(message)
    report.seen(f"the run succeeded {monotonic() - begun:.1f} s later, progress {view.progress} %")


async def _nothing_twice(
    stage: Scene, report: DemoReport, run: str, before: list[HistoryEntry], calls_before: Counter[str]
) -> None:
    """Compare what the journal recorded with what reached the model and the pages, counted there."""
    report.step("What was recorded before the crash was not done again: counted at the model and at the pages")
    history = await asyncio.to_thread(stage.gateway.read, RunHistory, f"/runs/{run}/history")
    now = {entry.path: entry for entry in history.entries if paid(entry)}
    unchanged(before, now)
    report.seen(f"{len(before)} entries from before the crash stand unchanged in the journal")
    again = [call for call in calls_before if stage.proxy.calls[call] > calls_before[call]]
    if again:
        message = f"{len(again)} model calls that were made before the crash were made again"
        raise DemoError(message)
    await all_answered(stage)
    report.seen(await compare(stage, {run}, stage.proxy.total, stage.proxy.undelivered))
    pages = stage.pages.requests
    if pages[HANDBOOK] != 1:
        message = f"the page that was recorded before the crash was fetched {pages[HANDBOOK]} times"
        raise DemoError(message)
    report.seen(f"pages: the recorded one was fetched once; the one in flight at the crash {pages[REPORT]} times")


def unchanged(before: list[HistoryEntry], now: dict[str, HistoryEntry]) -> None:
    """Raise DemoError unless every entry from before the crash is still what the journal holds."""
    for entry in before:
        after = now.get(entry.path)
        if after is None or (after.seq, after.output) != (entry.seq, entry.output):
            message = f"the entry {entry.path} that was recorded before the crash is not the same after it"
            raise DemoError(message)


def ended(stage: Scene, run: str) -> RunState | None:
    """Return the run's state if it has ended."""
    view = stage.gateway.read(RunState, f"/runs/{run}")
    return view if view.status in ENDED else None
