"""Forks in bulk: every run that fits, once, whatever one of them says to it; a dry run starts nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from streams.cli.forks import fork, found
from streams.cli.io.client import Gateway, Refused
from streams.engine.view import RunView
from tests.unit.cli.test_follow import entry

pytestmark = pytest.mark.unit


class Served:
    """A gateway with three runs on two pages, the last without the step; forks are known by their key."""

    def __init__(self, *, ill: bool = False) -> None:
        self.forks: dict[tuple[str, str], Any] = {}
        self.ill = ill
        self.gateway = Gateway("http://gateway")
        self.gateway._http = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if path == "/runs":
            assert query["agent"] == "asker"
            first = "cursor" not in query
            names = ["r1", "r2"] if first else ["r3"]
            runs = [{**RunView(name, "asker").to_json(), "status": "failed", "key": None} for name in names]
            return httpx.Response(200, json={"runs": runs, "next": "more" if first else None})
        run = path.split("/")[2]
        if path.endswith("/history"):
            name = "other" if run == "r3" else "look_up"
            return httpx.Response(200, json={"entries": [{**entry(3), "path": "1", "name": name}]})
        if self.ill:
            return httpx.Response(503, json={"detail": "no broker"})
        if run == "r3":
            return httpx.Response(422, json={"detail": "it has no such step"})
        self.forks[run, request.headers["idempotency-key"]] = json.loads(request.content)
        return httpx.Response(202, json={"run_id": f"f-{run}", "forked_from": run})

    def all(self, edits: dict[str, Any], *, dry_run: bool = False, limit: int = 10) -> list[dict[str, Any]]:
        return list(fork(self.gateway, found(self.gateway, limit, agent="asker"), "look_up", edits, dry_run=dry_run))


def test_each_run_is_forked_once_and_one_that_refuses_holds_no_other_up() -> None:
    served = Served()
    lines = [*served.all({"look_up": 1}), *served.all({"look_up": 1})]
    assert [line["fork"] for line in lines] == ["f-r1", "f-r2", None] * 2
    assert "no such step" in lines[2]["why"]
    assert list(served.forks.values()) == [{"at": "look_up", "edits": {"look_up": 1}}] * 2
    served.all({"look_up": 2})
    assert len(served.forks) == 4  # other edits are other forks


def test_a_dry_run_says_which_and_starts_nothing() -> None:
    served = Served()
    lines = served.all({"look_up": 1}, dry_run=True)
    assert [line["why"] for line in lines] == [None, None, "the run's journal has no such seq or step: look_up"]
    assert served.forks == {}


def test_what_is_wrong_with_the_gateway_ends_it() -> None:
    with pytest.raises(Refused):
        Served(ill=True).all({})
