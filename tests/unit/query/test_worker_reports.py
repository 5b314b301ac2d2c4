"""What the health check hears from workers: runs that stand still, and breakers that are not closed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from streams.clock import iso
from streams.query.cluster import authorization
from streams.query.worker_reports import STALE_MS, open_breakers, stale_runs

SECRET = "the-cluster-secret"
NOW = 1_800_000_000_000
URLS = ["http://a", "http://b"]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what workers answer by URL; a URL that is not there does not answer."""
    says: dict[str, Any] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        found = says.get(str(request.url))
        if found is None:
            raise httpx.ConnectError("nobody")
        if request.headers.get("authorization") != authorization(SECRET):
            return httpx.Response(401)
        return httpx.Response(200, json=found)

    client = httpx.Client

    def made(**more: Any) -> httpx.Client:
        return client(transport=httpx.MockTransport(answer), **more)

    monkeypatch.setattr(httpx, "Client", made)
    return says


def run(name: str, age_ms: int) -> dict[str, Any]:
    return {"run_id": name, "agent": "research", "created_at": iso(NOW - 10**8), "updated_at": iso(NOW - age_ms)}


def test_runs_that_have_not_moved_are_named_the_oldest_first(workers: dict[str, Any]) -> None:
    path = "/owner/runs?status=running&limit=500"
    first = [run("moves", 1000), run("stands", STALE_MS + 1)]
    cursor = f"&cursor={first[-1]['created_at']}~stands"
    workers["http://a" + path] = {"runs": first, "next": "more"}
    workers["http://a" + path + cursor] = {"runs": [run("older", STALE_MS * 9)], "next": None}
    told = stale_runs(URLS, SECRET, NOW)
    assert told == "2 runs have not moved for 30 minutes, the oldest: older (research), stands (research)"
    workers["http://a" + path] = {"runs": first[:1], "next": None}
    assert stale_runs(URLS, SECRET, NOW) is None


def test_a_breaker_is_open_if_a_worker_says_so(workers: dict[str, Any]) -> None:
    rows = [{"tool": "a", "state": "closed", "forced": False}, {"tool": "b", "state": "half-open", "forced": False}]
    workers["http://b/owner/breakers"] = {"breakers": rows}
    assert open_breakers(URLS, SECRET) == {"b": "the circuit breaker of b is open after failures in a row"}
    workers["http://a/owner/breakers"] = {"breakers": [{"tool": "c", "state": "open", "forced": True}]}
    assert set(open_breakers(URLS, SECRET)) == {"b", "c"}


def test_a_worker_that_refuses_the_cluster_secret_is_logged(
    workers: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    workers["http://a/owner/breakers"] = {"breakers": [{"tool": "c", "state": "open", "forced": True}]}
    assert open_breakers(URLS, "another") == {}
    assert "http://a/owner/breakers: the worker refuses this process's cluster secret" in caplog.text
