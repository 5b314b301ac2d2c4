"""The timers of a run from its entries alone, so that a hundred thousand waiting runs need no machine in memory."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.run import CLOSED
from streams.engine.decision import Timer
from streams.engine.entry import DEADLINE, END, RESUME, SUBMITTED, Entry
from streams.engine.marks import GRACE_MS
from streams.engine.view import fold

NOT_BEFORE = "~not_before"
_CLOSED = "~end"  # behind the path of a stage, or of the deadline's last respite


def timers_of(entries: Iterable[Entry]) -> list[Timer]:
    """Return what a run waits for by the clock. One that a resume has moved is set anew by restore."""
    listed = sorted(entries, key=lambda entry: entry.seq)
    view = fold(listed)
    if view.status in CLOSED:
        return []
    last = {entry.path: entry for entry in listed}
    if view.status == "failed":
        end = last[f"{END}{view.ended}"]
        return [] if end.due_ms is None else [Timer(end.path, end.due_ms)]
    timers = [timer for entry in last.values() if (timer := _timer(entry, last)) is not None]
    if view.status == "queued" and view.meta.get("not_before_ms") is not None:
        timers.append(Timer(NOT_BEFORE, view.meta["not_before_ms"]))
    return timers


def _timer(entry: Entry, last: dict[str, Entry]) -> Timer | None:
    path, due = entry.path, entry.due_ms
    if due is None:
        return None
    if path == SUBMITTED:
        resumed = any(other.startswith(RESUME) for other in last)
        return None if resumed or DEADLINE in last else Timer(DEADLINE, due)
    if path.startswith(RESUME):
        return Timer(DEADLINE, due)
    if path == DEADLINE or (entry.kind == "stage" and entry.status == "timed_out"):
        return None if f"{path}~end" in last else Timer(path, due + GRACE_MS, entry.resume)
    if entry.kind == "stage" and f"{path}~end" in last:
        return None
    return Timer(path, due, entry.resume) if entry.status == "scheduled" else None


def settles(entry: Entry) -> str | None:
    """Return the path whose timer an entry settles, None for none: what `timers_of` would not return any more."""
    path = entry.path
    if path.endswith(_CLOSED):
        return path.removesuffix(_CLOSED)
    if entry.kind == "stage" or path in (SUBMITTED, DEADLINE) or path.startswith(RESUME):
        return None
    return None if entry.status == "scheduled" else path
