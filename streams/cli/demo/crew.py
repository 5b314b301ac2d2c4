"""Act four: several agents work on one question, and the crash comes after the model was asked, which is what costs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streams.cli.demo.crash import crash, succeeded, unchanged
from streams.cli.demo.ledger import compare
from streams.cli.demo.opening import paid
from streams.cli.demo.pages import HANDBOOK, REPORT
from streams.cli.demo.waiting import until

if TYPE_CHECKING:
    from streams.cli.demo.report import Report
    from streams.cli.demo.scene import Scene

AGENT = "pipeline"
MEMBER = "research"
FRESH = "?for=pipeline"
"""Makes URLs that no run has fetched: those of the first act are answered from the cache of the tool."""

QUESTION = "Why were customers charged twice?"


async def crew(stage: Scene, report: Report) -> None:
    """Run planner, research, scraper and reviewer on a question over the pages, with a crash in the middle."""
    report.step(f"Agents that call agents: {AGENT} asks planner, research, scraper and reviewer")
    calls = stage.proxy.total
    stage.pages.hold()
    held = stage.pages.requests[REPORT]
    goal = {"question": QUESTION, "urls": [stage.pages.url(page) + FRESH for page in (HANDBOOK, REPORT)]}
    run = (await asyncio.to_thread(stage.gateway.post, "/runs", {"agent": AGENT, "input": goal}))["run_id"]
    report.seen(f"POST /runs: 202, run {run}")

    def planned() -> tuple[str, list[dict[str, Any]]] | None:
        member = next((child for child in _family(stage, run) if child["agent"] == MEMBER), None)
        if member is None or stage.pages.requests[REPORT] == held or stage.proxy.under_way:
            return None
        done = _paid(stage, member["run_id"])
        return (member["run_id"], done) if any(entry["kind"] == "llm" for entry in done) else None

    member, before = await until("a recorded model call while a page is slow", planned, 240)
    for entry in before:
        report.seen(f"recorded in {MEMBER}: {entry['kind']} {entry['name']} ({entry['path']})")
    await crash(stage, report, member)
    await succeeded(stage, report, run)
    unchanged(before, {entry["path"]: entry for entry in _paid(stage, member)})
    family = _family(stage, run)
    names = ", ".join(f"{one['agent']} {one['status']}" for one in family)
    report.seen(f"{names}: each child knows its parent")
    report.seen(await compare(stage, {one["run_id"] for one in family}, stage.proxy.total - calls))
    result = (await asyncio.to_thread(stage.gateway.get, f"/runs/{run}/result"))["result"]
    report.seen(f"answer: {' '.join(result['report']['answer'].split())[:300]}")


def _family(stage: Scene, run: str) -> list[dict[str, Any]]:
    """Return the state of a run and of all runs below it."""
    view: dict[str, Any] = stage.gateway.get(f"/runs/{run}")
    return [view, *(one for child in view["children"] for one in _family(stage, _id(child)))]


def _id(child: Any) -> str:
    return str(child["run_id"] if isinstance(child, dict) else child)


def _paid(stage: Scene, run: str) -> list[dict[str, Any]]:
    return [entry for entry in stage.gateway.get(f"/runs/{run}/history")["entries"] if paid(entry)]
