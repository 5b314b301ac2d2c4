"""Act four: several agents work on one question, and the crash comes in the review, when most is paid for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.cli.demo.crash import crash, succeeded, unchanged
from streams.cli.demo.errors import DemoError
from streams.cli.demo.ledger import all_answered, compare
from streams.cli.demo.opening import paid
from streams.cli.demo.pages import HANDBOOK, REPORT
from streams.cli.demo.waiting import until
from streams.contract.runs import HistoryEntry, RunAccepted, RunHistory, RunResult, RunState

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene

AGENT = "pipeline"
STAGE = "REVIEW"
FRESH = "?for=pipeline"
"""Makes URLs that no run has fetched: those of the first act are answered from the cache of the tool."""

QUESTION = "Why were customers charged twice?"
DRAFT = b"Draft:"
"""What only the reviewer sends to the model."""


async def crew(stage: Scene, report: DemoReport) -> None:
    """Run planner, research, scraper and reviewer on a question over the pages; kill the run's worker in the review."""
    report.step(f"Agents that call agents: {AGENT} asks planner, research, scraper and reviewer")
    calls, undelivered = stage.proxy.total, stage.proxy.undelivered
    stage.proxy.hold(DRAFT)
    goal = {"question": QUESTION, "urls": [stage.pages.url(page) + FRESH for page in (HANDBOOK, REPORT)]}
    body = {"agent": AGENT, "input": goal}
    run = (await asyncio.to_thread(stage.gateway.send, RunAccepted, "/runs", body)).run_id
    report.seen(f"POST /runs: 202, run {run}")

    def in_review() -> RunState | None:
        view = stage.gateway.read(RunState, f"/runs/{run}")
        if view.status == "failed":
            message = f"{AGENT} failed before its {STAGE}: {view.error}"
            raise DemoError(message)
        return view if view.stage == STAGE and stage.proxy.held else None

    view = await until(f"the stage {STAGE}, whose model call is under way", in_review, 240)
    before = {one.run_id: _paid(stage, one.run_id) for one in _family(stage, run)}
    report.seen(f"stage {view.stage}, progress {view.progress} %: the reviewer's call has not reached the model")
    for entry in (entry for entries in before.values() for entry in entries):
        report.seen(f"recorded: {entry.kind} {entry.name} ({entry.path})")
    reached = stage.proxy.total - calls
    await crash(stage, report, run)
    stage.proxy.release()
    await succeeded(stage, report, run)
    for one, entries in before.items():
        unchanged(entries, {entry.path: entry for entry in _paid(stage, one)})
    family = _family(stage, run)
    names = ", ".join(f"{one.agent} {one.status}" for one in family)
    report.seen(f"{names}: each child knows its parent")
    await all_answered(stage)
    total = stage.proxy.total - calls
    report.seen(f"{reached} model calls before the crash, {total - reached} after it: no stage was done again")
    report.seen(await compare(stage, {one.run_id for one in family}, total, stage.proxy.undelivered - undelivered))
    result = (await asyncio.to_thread(stage.gateway.read, RunResult, f"/runs/{run}/result")).result
    report.seen(f"answer: {' '.join(result['report']['answer'].split())[:300]}")


def _family(stage: Scene, run: str) -> list[RunState]:
    """Return the state of a run and of all runs below it."""
    view = stage.gateway.read(RunState, f"/runs/{run}")
    return [view, *(one for child in view.children for one in _family(stage, child))]


def _paid(stage: Scene, run: str) -> list[HistoryEntry]:
    return [entry for entry in stage.gateway.read(RunHistory, f"/runs/{run}/history").entries if paid(entry)]
