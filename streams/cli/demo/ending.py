"""Act three: the answer is asked for, as a row of a table and as a timeline, and one stage is run again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from schemas.run import ENDED
from streams.cli.demo.delivery import NUMBER, REPOSITORY
from streams.cli.demo.errors import DemoError
from streams.cli.demo.waiting import until
from streams.cli.io.output import cell

if TYPE_CHECKING:
    from streams.cli.demo.report import DemoReport
    from streams.cli.demo.scene import Scene

FORK = "/runs/{run_id}/fork"


async def rows_and_timeline(stage: Scene, report: DemoReport, run: str) -> None:
    """Print the run's timeline and result, and wait for the row that its event made."""
    report.step("The run's timeline, from its journal")
    history = await asyncio.to_thread(stage.gateway.get, f"/runs/{run}/history")
    report.timeline(history["entries"])
    result = (await asyncio.to_thread(stage.gateway.get, f"/runs/{run}/result"))["result"]
    report.seen(f"result: {cell(result)[:300]}")
    report.step("The table tickets answers")
    path = f"/tables/tickets/{quote(REPOSITORY, safe='')}"

    def row() -> dict[str, Any] | None:
        found: dict[str, Any] = stage.gateway.get(path)
        return found if run in cell(found["value"]) else None

    found = await until(f"the row of {REPOSITORY} with issue {NUMBER}", row, 30)
    report.seen(f"GET {path}: {cell(found['value'])[:300]}")
    report.note(f"made from {found['topic']}[{found['partition']}] up to offset {found['offset']}")


async def stage_again(stage: Scene, report: DemoReport, run: str) -> None:
    """Run the last model call again in a fork that shares the past before it, where the gateway offers forks."""
    offered = await asyncio.to_thread(stage.gateway.get, "/openapi.json")
    if not any(path.startswith("/runs/") and path.endswith("/fork") for path in offered["paths"]):
        return
    report.step("One stage is run again: a fork of the run at its last model call")
    entries = (await asyncio.to_thread(stage.gateway.get, f"/runs/{run}/history"))["entries"]
    last = next(entry for entry in reversed(entries) if entry["kind"] == "llm" and entry["status"] == "completed")
    calls, pages = stage.proxy.total, stage.pages.requests.total()
    fork = (await asyncio.to_thread(stage.gateway.post, f"/runs/{run}/fork", {"at": str(last["seq"])}))["run_id"]

    def ended() -> dict[str, Any] | None:
        view: dict[str, Any] = stage.gateway.get(f"/runs/{fork}")
        return view if view["status"] in ENDED else None

    view = await until(f"the end of the fork {fork}", ended, 90)
    if view["status"] != "succeeded":
        message = f"the fork {fork} ended as {view['status']}: {view['error']}"
        raise DemoError(message)
    again, fetched = stage.proxy.total - calls, stage.pages.requests.total() - pages
    if not again or fetched:
        message = f"the fork made {again} model calls and {fetched} fetches; the model was to be asked, the pages not"
        raise DemoError(message)
    report.seen(f"fork {fork} succeeded: the model was asked again, no page was fetched again")
