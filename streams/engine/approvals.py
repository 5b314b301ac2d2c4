"""Human approval, bound to the run, the place in it and the exact parameters, so that one yes allows one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.engine.entry import APPROVAL
from streams.engine.marks import AskOp

if TYPE_CHECKING:
    from collections.abc import Sequence


def open_approvals(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a person is asked and has not answered yet, from the lines of a run's history in log order.

    Each has `token`, `what`, `parameters`, `asked_at`, `until` (None: for as long as the run lives) and `path`.
    """
    last = {line["path"]: line for line in history}
    found = []
    for line in history:
        wait = last.get(_next(line["path"])) if line["kind"] == AskOp.kind else None
        if wait is not None and wait["kind"] == "wait" and wait["name"] == APPROVAL and wait["status"] == "scheduled":
            until = (wait["input"] or {}).get("until")
            found.append({**line["input"], "asked_at": line["started_at"], "until": until, "path": line["path"]})
    return found


def _next(path: str) -> str:
    """Return the place after this one: `approve` waits there for what it asked here."""
    before, dot, number = path.rpartition(".")
    return f"{before}{dot}{int(number) + 1}" if number.isdecimal() else ""
