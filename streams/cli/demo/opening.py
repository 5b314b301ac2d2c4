"""Act one: a signed delivery comes in, a reaction makes a run of it, and the run reads the first of two pages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.cli.demo.delivery import NUMBER, REPOSITORY, TITLE, SignedDelivery, issue_opened
from streams.cli.demo.errors import DemoError
from streams.cli.demo.pages import HANDBOOK, REPORT
from streams.cli.demo.waiting import until
from streams.cli.io.client import Refused, as_model
from streams.contract.events import DeliveryAccepted
from streams.contract.runs import HistoryEntry, RunHistory, RunPage, RunState

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene

WEBHOOK = "/webhooks/github"
AGENT = "triage"


async def deliver(stage: Scene, report: DemoReport) -> str:
    """Send the delivery, forged, genuine and again; return the id of the one run that comes of it."""
    report.step("GitHub tells that an issue was opened")
    links = [stage.pages.url(HANDBOOK), stage.pages.url(REPORT)]
    forged, genuine = issue_opened("not the secret", links), issue_opened(stage.secret, links)
    try:
        await asyncio.to_thread(stage.gateway.post_raw, WEBHOOK, forged.body, forged.headers)
    except Refused as refused:
        _must(refused.status == 401, f"a forged delivery was answered with {refused.status}, not 401")
    else:
        message = "a forged delivery was accepted"
        raise DemoError(message)
    report.seen("a delivery with a wrong signature: 401")
    first = await _accepted(stage, genuine)
    report.seen(f"the signed delivery of {REPOSITORY}#{NUMBER} “{TITLE}”: 202, id {first.id}")
    again = await _accepted(stage, genuine)
    _must(again.duplicate, f"the same delivery again was not recognised: {again}")
    report.seen("the same delivery again: recognised as a duplicate, nothing new on the log")
    run = await until(f"a run of {AGENT} for the issue", lambda: _run_of_issue(stage), 30)
    report.seen(f"the reaction started run {run}")
    return run


async def follow_to_the_slow_page(stage: Scene, report: DemoReport, run: str) -> list[HistoryEntry]:
    """Wait until the run has recorded something and waits for the slow page; return what it recorded."""
    report.step("The agent reads the two pages that the issue links to")

    def recorded() -> list[HistoryEntry] | None:
        history = stage.gateway.read(RunHistory, f"/runs/{run}/history")
        done = [entry for entry in history.entries if paid(entry)]
        return done if done and stage.pages.requests[REPORT] else None

    done = await until("a page in the run's journal while the other one is slow", recorded, 60)
    view = await asyncio.to_thread(stage.gateway.read, RunState, f"/runs/{run}")
    _must(view.status in {"running", "waiting"}, f"the run is {view.status} while a page is still to come")
    report.seen(f"status {view.status}, {view.progress} %, at step {view.step}")
    for entry in done:
        report.seen(f"recorded: {entry.kind} {entry.name} ({entry.path})")
    report.note(f"the second page, {stage.pages.url(REPORT)}, is slow: its request is under way")
    return done


def paid(entry: HistoryEntry) -> bool:
    """Return whether an entry holds the answer of a model or a tool."""
    return entry.kind in {"llm", "tool"} and entry.status == "completed"


def _run_of_issue(stage: Scene) -> str | None:
    for run in stage.gateway.read(RunPage, "/runs", agent=AGENT, limit=20).runs:
        given = run.input or {}
        if given.get("repository") == REPOSITORY and given.get("number") == NUMBER:
            return run.run_id
    return None


async def _accepted(stage: Scene, delivery: SignedDelivery) -> DeliveryAccepted:
    body = await asyncio.to_thread(stage.gateway.post_raw, WEBHOOK, delivery.body, delivery.headers)
    return as_model(DeliveryAccepted, body)


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoError(otherwise)
