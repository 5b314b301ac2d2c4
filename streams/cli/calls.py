"""Reads the calls of one run from the log for `streams runs calls`: what was asked and answered, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import SchemaError
from streams.model.repeats import restored
from topics.reader import Time, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.cli.log import DeploymentLog

_SKEW_MS = 60_000
"""How much a worker's clock may be behind that of the gateway."""


def calls_of(log: DeploymentLog, run_id: str, since_ms: int) -> list[dict[str, Any]]:
    """Return the calls of a run in the order in which they began; it was made at `since_ms` (since the epoch)."""
    found = []
    for record in read(log.kafka, log.names.calls, start=Time(max(since_ms - _SKEW_MS, 0))):
        try:
            call = log.codec.decode_dict(record.value)
        except SchemaError:
            continue
        if call.get("run_id") == run_id:
            found.append(call)
    return whole(sorted(found, key=lambda call: (call["started_ms"], call["path"], call["attempt"])))


def whole(calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a run's calls with their requests as they were sent; one that builds on a lost call stays as it is."""
    listed = list(calls)
    requests = {call["hash"]: call["request"] for call in reversed(listed)}  # the first of equal ones counts

    def request_of(call: dict[str, Any]) -> Any:
        try:
            return restored(call["request"], requests.__getitem__)
        except LookupError:
            return call["request"]

    return [{**call, "request": request_of(call)} for call in listed]


def row(call: dict[str, Any]) -> dict[str, Any]:
    """Return what a line of the list says of a call."""
    usage = call.get("usage") or {}
    return {
        "path": call["path"],
        "kind": call["kind"],
        "name": call["name"],
        "ms": call["finished_ms"] - call["started_ms"],
        "tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0) if usage else None,
        "cost_usd": usage.get("cost_usd"),
        "answer": call.get("answer") if call.get("error") is None else call["error"],
    }
