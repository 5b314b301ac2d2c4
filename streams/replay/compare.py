"""Holds what came out of a replay against what came out at the time, and says where they differ."""

from __future__ import annotations

from typing import Any

_MOST = 20


def differences(observed: Any, replayed: Any, at: str = "") -> list[dict[str, Any]]:
    """Return where two JSON values differ, as JSON pointers (RFC 6901) with both sides; at most twenty."""
    found: list[dict[str, Any]] = []
    _compare(observed, replayed, at, found)
    return found[:_MOST]


def _compare(before: Any, after: Any, at: str, found: list[dict[str, Any]]) -> None:
    if len(found) >= _MOST or before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys(), key=str):
            _compare(before.get(name), after.get(name), f"{at}/{_escaped(name)}", found)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            _compare(one, other, f"{at}/{index}", found)
    else:
        found.append({"at": at or "/", "observed": before, "replayed": after})


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
