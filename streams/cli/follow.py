"""Follows a run by the gateway's event stream until it ends, over broken connections, missing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from schemas.run import OVER
from streams.cli.io.client import GatewayDown, Refused, ServerEvent, pause
from streams.cli.io.options import OutputFormat
from streams.cli.io.output import STYLES, cell, console, to_json
from streams.contract.runs import RunHistory, RunResult, RunState
from streams.errors import StreamsError
from streams.printable import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.cli.io.client import Gateway

NO_STREAM = frozenset({404, 405})
PACE = 0.3
"""Seconds between two questions where there is no event stream."""


class Unfinished(StreamsError):
    """Raised where a result is asked for that does not exist yet."""


def follow(server: Gateway, run: str, output: OutputFormat) -> int:
    """Print every event of `run` until it ended, then its result or error; return the exit code."""
    screen = console()
    for event in watch(server, run):
        if output is OutputFormat.JSON:
            line = orjson.dumps({"id": event.id, "event": event.name, "data": event.data}).decode()
            print(json_text(line), flush=True)
        else:
            screen.print(describe(event))
    view = server.read(RunState, f"/runs/{run}")
    if view.status == "succeeded":
        result = server.read(RunResult, f"/runs/{run}/result")
        print(to_json(result.to_json() if output is OutputFormat.JSON else result.result))
        return 0
    error = None if view.error is None else view.error.to_json()
    failed = cell(error) or view.reason or "see `streams runs show`"
    message = f"Run {run} {view.status}: {failed}"
    raise StreamsError(message)


def watch(server: Gateway, run: str) -> Iterator[ServerEvent]:
    """Yield the run's events up to `done`; a stream that breaks is resumed after the last event seen.

    A gateway without event streams is asked again and again instead.
    """
    server.read(RunState, f"/runs/{run}")  # an unknown run is an error here, not a missing stream
    last: str | None = None
    failures = 0
    while True:
        try:
            for event in server.events(f"/runs/{run}/events", last=last):
                last, failures = event.id or last, 0
                yield event
                if event.name == "done":
                    return
        except (GatewayDown, Refused) as error:
            if isinstance(error, Refused) and error.status in NO_STREAM:
                yield from poll(server, run)
                return
            failures += 1
            if failures > 5:
                raise


def poll(server: Gateway, run: str) -> Iterator[ServerEvent]:
    """Yield what is new in a run's state and journal each time it is asked, up to `done`."""
    seen, last = 0, ("", -1)
    while True:
        view = server.read(RunState, f"/runs/{run}")
        for entry in server.read(RunHistory, f"/runs/{run}/history").entries:
            if entry.seq > seen:
                seen = entry.seq
                yield ServerEvent(str(seen), "step", entry.to_json())
        now = (view.status, view.progress)
        if now[0] in OVER:
            yield ServerEvent(str(seen), "done", {"status": now[0]})
            return
        if now != last:
            yield ServerEvent(str(seen), "progress", {"progress": now[1], "stage": view.stage or now[0]})
        last = now
        pause(PACE)


def describe(event: ServerEvent) -> str:
    """Return one line of Rich markup for an event."""
    from rich.markup import escape

    data: dict[str, Any] = event.data if isinstance(event.data, dict) else {"value": event.data}
    status = str(data.get("status", ""))
    style = STYLES.get(status, "default")
    match event.name:
        case "status" | "done":
            text = f"[{style}]{escape(status)}[/]"
        case "progress":
            percent = "" if data.get("progress") is None else f"{data['progress']}% "
            text = f"[blue]{percent}[/]{escape(str(data.get('message') or data.get('stage') or ''))}"
        case "step":
            name = escape(str(data.get("name") or data.get("path", "")))
            text = f"{escape(str(data.get('kind', '')))} [bold]{name}[/] [{style}]{escape(status)}[/]"
        case _:
            text = escape(cell(event.data))
    return f"[dim]{escape(event.name):>8}[/] {text}"
