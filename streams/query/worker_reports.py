"""What live workers say of runs that stand still and of open circuit breakers, for the health check. Blocking."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from http.client import UNAUTHORIZED
from typing import Any, Final

import httpx

from streams.query.cluster import authorization
from streams.query.wire import REFUSED

log = logging.getLogger(__name__)

STALE_MS: Final = 30 * 60 * 1000
"""A run that is under way, and not waiting, writes an entry of its journal more often than this."""

_PAGE: Final = 500
_MOST: Final = 10_000  # runs under way to look at on a worker
_SHOWN: Final = 5
_ANSWER_S: Final = 5.0


def stale_runs(urls: Iterable[str], secret: str, now_ms: int) -> str | None:
    """Return a line about the runs that have not moved for STALE_MS, None when there are none.

    `secret` is the cluster's.
    """
    with _client(secret) as http:
        stale = [
            (run["updated_at"], f"{run['run_id']} ({run['agent']})")
            for url in urls
            for run in _under_way(http, url)
            if now_ms - datetime.fromisoformat(run["updated_at"]).timestamp() * 1000 > STALE_MS
        ]
    if not stale:
        return None
    named = ", ".join(name for _, name in sorted(stale)[:_SHOWN])
    return f"{len(stale)} runs have not moved for {STALE_MS // 60_000} minutes, the oldest: {named}"


def open_breakers(urls: Iterable[str], secret: str) -> dict[str, str]:
    """Return a line for each breaker that is not closed; workers notify each other, so one report is enough."""
    found: dict[str, str] = {}
    with _client(secret) as http:
        for url in urls:
            for breaker in _answer(http, f"{url}/owner/breakers").get("breakers", []):
                if breaker["state"] != "closed":
                    cause = "by hand" if breaker["forced"] else "after failures in a row"
                    found[breaker["tool"]] = f"the circuit breaker of {breaker['tool']} is open {cause}"
    return found


def _client(secret: str) -> httpx.Client:
    return httpx.Client(timeout=_ANSWER_S, trust_env=False, headers={"authorization": authorization(secret)})


def _under_way(http: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    cursor, seen = "", 0
    while seen < _MOST:
        more = f"&cursor={cursor}" if cursor else ""
        page = _answer(http, f"{url}/owner/runs?status=running&limit={_PAGE}{more}")
        runs: list[dict[str, Any]] = page.get("runs", [])
        yield from runs
        seen += len(runs)
        if not page.get("next") or not runs:
            return
        cursor = f"{runs[-1]['created_at']}~{runs[-1]['run_id']}"


def _answer(http: httpx.Client, url: str) -> dict[str, Any]:
    """Return what a worker says; one that is just coming or going is asked at the next check."""
    try:
        response = http.get(url)
    except httpx.HTTPError:
        return {}
    if response.status_code == UNAUTHORIZED:
        log.error("%s: %s", url, REFUSED)
    found: dict[str, Any] = response.json() if response.is_success else {}
    return found
