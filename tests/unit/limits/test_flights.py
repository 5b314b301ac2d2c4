"""Shared answers: equal calls are one call, on one worker and over several."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from streams.worker.limits.answers import Answers
from streams.worker.limits.flights import Cached, Confirm, Flights
from tests.unit.limits.fakes import Committer, Owned, Tasks, turns

CALL = Cached("hash", 60.0, 30.0)


class Workers:
    """A home and workers that ask it."""

    def __init__(self, count: int = 2) -> None:
        self.owned = Owned()
        self.answers = Answers(cast("Any", self.owned), cast("Any", Committer()))
        self.tasks = Tasks()
        self.flights = [Flights(self.ask, self.tasks.spawn) for _ in range(count)]
        self.calls = 0
        self.go = asyncio.Event()
        self.fails = 0

    async def ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["do"] == "ask":
            return await self.answers.ask(call, body["holder"], body["seconds"])
        if body["do"] == "put":
            return await self.answers.put(call, body["value"], body["ttl"])
        return self.answers.fail(call, body["holder"])

    async def compute(self, _confirm: Confirm) -> tuple[Any, bool]:
        self.calls += 1
        await self.go.wait()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no luck")
        return {"n": self.calls}, False


async def test_a_hundred_equal_calls_on_two_workers_are_one() -> None:
    made = Workers()
    tasks = [made.tasks.spawn(made.flights[number % 2].through(CALL, made.compute)) for number in range(100)]
    await turns(lambda: made.calls == 1)
    made.go.set()
    found = await asyncio.gather(*tasks)
    assert made.calls == 1
    assert [value for value, _ in found] == [{"n": 1}] * 100
    assert sum(recorded for _, recorded in found) == 99


async def test_an_answer_is_found_later_and_elsewhere() -> None:
    made = Workers()
    made.go.set()
    assert await made.flights[0].through(CALL, made.compute) == ({"n": 1}, False)
    assert await made.flights[1].through(CALL, made.compute) == ({"n": 1}, True)


async def test_an_answer_whose_time_is_over_is_made_again() -> None:
    made = Workers()
    made.go.set()
    await made.flights[0].through(Cached("hash", -1.0, 30.0), made.compute)
    assert await made.flights[0].through(CALL, made.compute) == ({"n": 2}, False)


async def test_a_failure_is_told_to_those_who_waited_here_and_another_worker_tries() -> None:
    made = Workers()
    made.fails = 1
    here = [made.tasks.spawn(made.flights[0].through(CALL, made.compute)) for _ in range(5)]
    await turns(lambda: made.calls == 1)
    there = made.tasks.spawn(made.flights[1].through(CALL, made.compute))
    made.go.set()
    assert [str(one) for one in await asyncio.gather(*here, return_exceptions=True)] == ["no luck"] * 5
    assert await there == ({"n": 2}, False)


async def test_when_the_caller_is_cancelled_the_next_one_calls() -> None:
    made = Workers(1)
    first = made.tasks.spawn(made.flights[0].through(CALL, made.compute))
    await turns(lambda: made.calls == 1)
    second = made.tasks.spawn(made.flights[0].through(CALL, made.compute))
    first.cancel()
    await turns(lambda: made.calls == 2)
    made.go.set()
    assert await second == ({"n": 2}, False)


async def test_a_dead_workers_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Workers(1)
    assert await made.answers.ask("hash", "dead", 0.01) == {"compute": True}
    made.go.set()
    assert await made.flights[0].through(CALL, made.compute) == ({"n": 1}, False)


async def test_too_large_an_answer_is_not_kept() -> None:
    made = Workers()
    assert await made.answers.put("hash", "x" * 600_000, 60.0) == {"kept": False}
    assert made.owned.store.rows == {}
