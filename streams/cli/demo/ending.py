"""Act three: the answer is asked for, as a row of a table and as a timeline, and one stage is run again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from streams.cli.demo.crash import ended
from streams.cli.demo.delivery import NUMBER, REPOSITORY
from streams.cli.demo.errors import DemoError
from streams.cli.demo.waiting import until
from streams.cli.io.output import cell
from streams.contract.probes import OpenApiDocument
from streams.contract.runs import ForkAccepted, RunHistory, RunResult
from streams.contract.tables import TableRow

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene

FORK = "/runs/{run_id}/fork"


async def rows_and_timeline(stage: Scene, report: DemoReport, run: str) -> None:
    """Print the run's timeline and result, and wait for the row that its event made."""
    report.step("The run's timeline, from its journal")
    history = await asyncio.to_thread(stage.gateway.read, RunHistory, f"/runs/{run}/history")
    report.timeline([entry.to_json() for entry in history.entries])
    answer = await asyncio.to_thread(stage.gateway.read, RunResult, f"/runs/{run}/result")
    report.seen(f"result: {cell(answer.result)[:300]}")
    report.step("The table tickets answers")
    path = f"/tables/tickets/{quote(REPOSITORY, safe='')}"

    def row() -> TableRow | None:
        found = stage.gateway.read(TableRow, path)
        return found if run in cell(found.value) else None

    found = await until(f"the row of {REPOSITORY} with issue {NUMBER}", row, 30)
    report.seen(f"GET {path}: {cell(found.value)[:300]}")
    report.note(f"made from {found.topic}[{found.partition}] up to offset {found.offset}")


async def stage_again(stage: Scene, report: DemoReport, run: str) -> None:
    """Run the last model call again in a fork that shares the past before it, where the gateway offers forks."""
    offered = await asyncio.to_thread(stage.gateway.read, OpenApiDocument, "/openapi.json")
    if not any(path.startswith("/runs/") and path.endswith("/fork") for path in offered.paths):
        return
    report.step("One stage is run again: a fork of the run at its last model call")
    history = await asyncio.to_thread(stage.gateway.read, RunHistory, f"/runs/{run}/history")
    last = next(entry for entry in reversed(history.entries) if entry.kind == "llm" and entry.status == "completed")
    calls, pages = stage.proxy.total, stage.pages.requests.total()
    body = {"at": str(last.seq)}
    fork = (await asyncio.to_thread(stage.gateway.send, ForkAccepted, f"/runs/{run}/fork", body)).run_id

    view = await until(f"the end of the fork {fork}", lambda: ended(stage, fork), 90)
    if view.status != "succeeded":
        message = f"the fork {fork} ended as {view.status}: {view.error}"
        raise DemoError(message)
    again, fetched = stage.proxy.total - calls, stage.pages.requests.total() - pages
    if not again or fetched:
        message = f"the fork made {again} model calls and {fetched} fetches; the model was to be asked, the pages not"
        raise DemoError(message)
    report.seen(f"fork {fork} succeeded: the model was asked again, no page was fetched again")
