"""Two shorter acts: the clock has its say, and a stage of the past is run again from its recorded answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.app import discover
from streams.cli.demo.errors import DemoError
from streams.cli.demo.waiting import until
from streams.contract.runs import RunHistory
from streams.contract.schedules import ScheduleCommandAccepted
from streams.contract.topics import TopicPage, TopicRecord
from streams.replay.log import ReplayLog
from streams.replay.stage import run_stage

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene

SCHEDULE = "health_check"
TICKED = "schedule.ticked"
CHECKED = "health_check_completed"


async def tick(stage: Scene, report: DemoReport) -> None:
    """Trigger the shipped health check and wait for its slot on `ticks` and for what it published."""
    report.step("A schedule ticks: the health check, triggered once more")
    await asyncio.to_thread(stage.gateway.send, ScheduleCommandAccepted, f"/schedules/{SCHEDULE}/trigger", {})
    slot = await until("the slot on the topic ticks", lambda: _event(stage, "ticks", TICKED), 60)
    report.seen(f"{TICKED} {slot.id} is on ticks[{slot.partition}] at offset {slot.offset}")
    published = await until("what the health check published", lambda: _event(stage, "events", CHECKED), 60)
    report.seen(f"{CHECKED} is on the bus: {'well' if published.data.get('healthy', True) else 'not well'}")


async def replay(stage: Scene, report: DemoReport, run: str) -> None:
    """Run the last model step of a run again with the network out of reach and its answer from the log."""
    report.step("One stage is replayed: the same code, the answer from the log, the network out of reach")
    history = await asyncio.to_thread(stage.gateway.read, RunHistory, f"/runs/{run}/history")
    last = next(entry for entry in reversed(history.entries) if entry.kind == "llm" and entry.status == "completed")
    calls = stage.proxy.total
    log = ReplayLog.of(stage.running.settings, discover(stage.running.settings.apps))
    found = await run_stage(log, run, str(last.seq))
    if not found.equal or found.made or stage.proxy.total != calls:
        message = f"the replay of step {last.name} came to something else: {found.to_json()}"
        raise DemoError(message)
    report.seen(f"step {last.name}: {found.recorded} recorded answer, 0 calls made, the same outcome")


def _event(stage: Scene, topic: str, kind: str) -> TopicRecord | None:
    """Return the newest event of a type on a topic, None if there is none yet."""
    events = stage.gateway.read(TopicPage, f"/topics/{topic}/events?type={kind}&limit=100").events
    return events[-1] if events else None
