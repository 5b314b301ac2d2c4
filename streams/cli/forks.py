"""Forks runs for the command line: one, or all that a filter finds, each once however often the command is repeated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.cli.io.client import Refused
from streams.contract.runs import ForkAccepted, RunHistory, RunPage
from streams.engine.fork import misfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.cli.io.client import Gateway
    from streams.contract.runs import RunState, RunSummary

PAGE: Final = 1_000
"""The gateway's largest page."""

_MAYBE: Final = (404, 409, 422)  # what says no to one run and nothing about the others


def found(server: Gateway, limit: int, **wanted: str | None) -> Iterator[RunSummary]:
    """Yield at most so many runs that a filter finds, the newest first."""
    cursor: str | None = None
    while limit > 0:
        page = server.read(RunPage, "/runs", **wanted, limit=min(limit, PAGE), cursor=cursor)
        yield from page.runs
        limit -= len(page.runs)
        cursor = page.next
        if not cursor:
            return


def fork(
    server: Gateway, runs: Iterator[RunSummary] | Iterator[RunState], at: str, edits: dict[str, Any], *, dry_run: bool
) -> Iterator[dict[str, Any]]:
    """Fork each run and yield what became of it; with `dry_run` only report whether it can be.

    The same steps and edits of the same run are the same fork: repeated, they start nothing.
    """
    body = {"at": at, "edits": edits} if edits else {"at": at}
    key = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
    for run in runs:
        line: dict[str, Any] = {
            "run_id": run.run_id,
            "agent": run.agent,
            "status": run.status,
            "fork": None,
            "why": None,
        }
        try:
            if dry_run:
                journal = server.read(RunHistory, f"/runs/{run.run_id}/history")
                why = misfit([entry.to_json() for entry in journal.entries], at, edits)
                line["why"] = None if why is None else why[1]
            else:
                path = f"/runs/{run.run_id}/fork"
                line["fork"] = server.send(ForkAccepted, path, body, key=f"fork/{key}").run_id
        except Refused as refused:
            if refused.status not in _MAYBE:
                raise
            line["why"] = str(refused)
        yield line
