"""Waiting for grants: together, in order, and not by asking again and again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams import clock
from streams.define.limits import Rate
from streams.limits.peers import HomeAwayError
from streams.limits.rate_limit_client import RateLimit, RateLimitClient
from tests.unit.limits.fakes import Tasks, turns


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no grant grow old but where a test wants it: two seconds are not long on a busy machine."""
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)


class Home:
    """Grants so many of each limit, then tells to come back."""

    def __init__(self, free: int, retry_after: float = 0.01) -> None:
        self.free = free
        self.retry_after = retry_after
        self.bodies: list[dict[str, Any]] = []
        self.failures = 0
        self.tasks = Tasks()
        self.rate_limits = RateLimitClient(lambda _pool, _name: "http://home", self.send, self.tasks.spawn, "w")

    async def send(self, _url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        self.bodies.append(body)
        if self.failures:
            self.failures -= 1
            raise HomeAwayError("lost")
        answers = []
        for ask in body["asks"]:
            given = ask["ids"][: self.free]
            self.free -= len(given)
            answers.append({"limit": ask["limit"], "granted": given, "retry_after": self.retry_after})
        return answers


def limit(name: str = "tool:x", count: int = 30, per: float = 60.0) -> RateLimit:
    return RateLimit("default", name, Rate(count, per))


async def test_all_that_is_ready_travels_in_one_request() -> None:
    home = Home(100)
    await asyncio.gather(*(home.rate_limits.take(limit(f"tool:{number % 3}")) for number in range(30)))
    assert len(home.bodies) == 1
    assert [len(ask["ids"]) for ask in home.bodies[0]["asks"]] == [10, 10, 10]


async def test_who_waits_longest_is_served_first_and_asks_after_the_time_it_was_told() -> None:
    home = Home(2)
    order: list[int] = []

    async def call(number: int) -> None:
        await home.rate_limits.take(limit())
        order.append(number)
        home.free += 1

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(call(number))
    assert order == list(range(6))
    assert len(home.bodies) <= 6


async def test_no_more_ids_are_sent_than_a_window_holds() -> None:
    home = Home(1000)
    await asyncio.gather(*(home.rate_limits.take(limit(count=5)) for _ in range(12)))
    assert [len(body["asks"][0]["ids"]) for body in home.bodies] == [5, 5, 2]
    assert home.bodies[0]["asks"][0]["wanted"] == 12


async def test_a_lost_answer_is_asked_for_by_the_same_id() -> None:
    home = Home(1)
    home.failures = 1
    await home.rate_limits.take(limit())
    first, second = (body["asks"][0]["ids"] for body in home.bodies)
    assert first == second


async def test_a_grant_counts_from_when_its_request_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    home = Home(1)
    assert await home.rate_limits.take(limit()) == 52.0


async def test_a_grant_that_comes_too_late_is_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    home = Home(2)
    send = home.send

    async def slow(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        if not home.bodies:
            now[0] += 2.5
        return await send(url, body)

    home.rate_limits = RateLimitClient(lambda _pool, _name: "http://home", slow, home.tasks.spawn, "w")
    assert await home.rate_limits.take(limit()) == 54.5
    first, second = (body["asks"][0]["ids"] for body in home.bodies)
    assert first != second


async def test_who_gives_up_waits_no_more() -> None:
    home = Home(0, retry_after=60.0)
    task = home.tasks.spawn(home.rate_limits.take(limit()))
    await turns(lambda: bool(home.bodies))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert home.rate_limits.waiting() == {"tool:x": 0}


async def test_a_limit_that_nobody_waits_for_is_forgotten() -> None:
    home = Home(100)
    for number in range(20):
        await home.rate_limits.take(limit(f"tool:x at {number}.example"))
    await turns(lambda: not home.rate_limits.waiting())
