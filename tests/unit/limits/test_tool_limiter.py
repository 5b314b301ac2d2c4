"""A tool call on its way through its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from streams import Breaker, Reject, clock, tool
from streams.clock import monotonic
from streams.define.limits import Rate
from streams.define.tools import Tool
from streams.limits.breakers import BreakerOpenError, BreakerRegistry
from streams.limits.rate_limit_client import RateLimit
from streams.limits.single_flight import SingleFlight
from streams.limits.tool_limiter import GrantLateError, ToolLimiter, in_time, limited
from streams.tools._call import call_tool
from tests.unit.limits.fakes import Tasks


@tool(rate="1/m")
async def rated() -> int:
    """Be rated."""
    return 1


@tool(breaker=Breaker(failures=2, cooldown=60))
async def broken(how: str) -> int:
    """Fail in some way."""
    if how == "reject":
        raise Reject("never")
    if how == "fail":
        raise RuntimeError("down")
    if how == "hang":
        await asyncio.Event().wait()
    return 2


@tool
async def plain() -> int:
    """Have no limit."""
    return 3


@tool(cache=60, timeout=5)
async def kept() -> int:
    """Be kept."""
    return 4


class World:
    """A guard whose homes say what a test wants."""

    def __init__(self, deadlines: list[float] | None = None) -> None:
        self.tasks = Tasks()
        self.deadlines = deadlines or []
        self.taken: list[RateLimit] = []
        self.proofs = 0
        self.breakers = BreakerRegistry([broken], "w", self.post, self.tasks.spawn)
        self.said: list[Any] = []
        self.breakers.others = lambda: ["http://other"]
        rate_limits = cast("Any", self)
        shared_calls = SingleFlight(self.ask, self.tasks.spawn, "w", self.prove)
        self.guard = ToolLimiter(rate_limits, cast("Any", None), shared_calls, self.breakers, self.prove)

    async def take(self, limit: RateLimit) -> float:
        self.taken.append(limit)
        return self.deadlines.pop(0)

    async def prove(self, _run_id: str) -> None:
        self.proofs += 1

    async def post(self, _url: str, _path: str, body: Any) -> None:
        self.said.append(body)

    async def ask(self, _call: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"hit": True, "value": 7} if body["do"] == "ask" else {}

    async def call(self, which: Tool[Any], seconds: float | None = 5.0, **args: Any) -> tuple[Any, bool]:
        async with asyncio.timeout(seconds) as scope:
            return await self.guard.call("run", which, args, scope, lambda made: call_tool(made, args))


def test_only_tools_with_limits_are_limited() -> None:
    assert not limited(plain)
    assert all(limited(one) for one in (rated, broken, kept))


async def test_a_call_waits_for_its_grant_and_is_proven() -> None:
    world = World([monotonic() + 3600])
    assert await world.call(rated) == (1, False)
    assert [limit.name for limit in world.taken] == ["tool:rated"]
    assert world.proofs == 1


async def test_a_grant_that_is_late_is_asked_for_anew() -> None:
    world = World([monotonic() - 1, monotonic() - 1, monotonic() + 3600])
    assert await world.call(rated) == (1, False)
    assert len(world.taken) == 3


async def test_waiting_does_not_count_against_the_time_of_the_call() -> None:
    world = World([monotonic() + 3600])
    take = world.take

    async def slow(limit: RateLimit) -> float:
        await asyncio.sleep(0.05)
        return await take(limit)

    vars(world)["take"] = slow
    assert await world.call(rated, 0.02) == (1, False)


async def test_a_found_answer_is_no_call() -> None:
    assert await World().call(kept) == (7, True)


async def test_a_breaker_opens_is_told_and_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "steady_ms", lambda: 1_000_000)
    world = World()
    told: list[bool] = []
    world.breakers.on_switch.append(lambda word: told.append(word.open))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await world.call(broken, how="fail")
    await world.tasks.over()
    assert [body["words"][0]["open"] for body in world.said] == [True]
    assert told == [True]
    world.breakers.force("broken", open_=True)
    assert told == [True], "it was open already"
    with pytest.raises(BreakerOpenError) as refused:
        await world.call(broken, how="work")
    assert refused.value.retry_after == 60


async def test_a_call_that_hangs_is_a_failure() -> None:
    world = World()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await world.call(broken, 0.01, how="hang")
    with pytest.raises(BreakerOpenError):
        await world.call(broken, how="work")


async def test_a_refusal_says_nothing_of_the_tool() -> None:
    world = World()
    for _ in range(5):
        with pytest.raises(Reject):
            await world.call(broken, how="reject")
    assert await world.call(broken, how="work") == (2, False)


async def test_in_the_half_open_state_one_call_tries_and_the_others_wait_for_it() -> None:
    world = World()
    circuit = world.breakers.circuits["broken"]
    circuit.breaker = Breaker(failures=1, cooldown=0.0)
    with pytest.raises(RuntimeError):
        await world.call(broken, how="fail")
    found = await asyncio.gather(*(world.call(broken, how="work") for _ in range(5)))
    assert found == [(2, False)] * 5
    assert circuit.state(0) == "closed"


@pytest.mark.parametrize("blocking", [True, False])
async def test_the_clock_is_looked_at_right_before_the_call(blocking: bool) -> None:
    called: list[str] = []

    async def waits(word: str) -> None:
        called.append(word)

    def blocks(word: str) -> None:
        called.append(word)

    fn: Callable[..., Any] = blocks if blocking else waits

    async def run(deadline: float, word: str) -> None:
        result = in_time(fn, deadline)(word=word)
        if not blocking:
            await result

    await run(monotonic() + 3600, "now")
    with pytest.raises(GrantLateError):
        await run(monotonic() - 1, "late")
    assert called == ["now"]


@tool(breaker=Breaker(failures=2, cooldown=60, per="url"))
async def fetched(url: str) -> str:
    """Fetch from a host that may be down."""
    if "down" in url:
        raise RuntimeError("down")
    return url


async def test_failing_links_close_the_way_to_their_own_host_only() -> None:
    """Whoever writes five dead links into an issue takes the tool from nobody."""
    world = World()

    async def call(url: str) -> Any:
        async def begin(bounded: Tool[Any]) -> Any:
            return await call_tool(bounded, {"url": url})

        async with asyncio.timeout(10) as scope:
            return await world.guard.call("r1", fetched, {"url": url}, scope, begin)

    for path in range(2):
        with pytest.raises(RuntimeError):
            await call(f"http://down.example/{path}")
    with pytest.raises(BreakerOpenError, match=r"fetched at down\.example"):
        await call("http://DOWN.example./other")
    assert await call("http://up.example/") == ("http://up.example/", False)
    world.breakers.circuit("fetched", cast("Breaker", fetched.breaker))
    world.breakers.force("fetched", open_=True)
    with pytest.raises(BreakerOpenError, match="by hand"):
        await call("http://up.example/")


async def test_breakers_of_hosts_have_a_bound() -> None:
    world = World()
    for number in range(5_000):
        world.breakers.circuit(f"fetched at {number}.example", Breaker())
    assert len(world.breakers.circuits) <= 2_001
    assert "broken" in world.breakers.circuits
    assert "fetched at 4999.example" in world.breakers.circuits


@tool(rate=Rate(30, 60.0, host="url"))
async def rated_by_host(url: str) -> str:
    """Fetch from a host within a rate."""
    return url


async def test_a_rate_of_hosts_counts_the_calls_of_each_host_alone() -> None:
    """Whoever writes 300 links of one host into an issue makes calls to other hosts wait for nothing."""
    world = World(deadlines=[monotonic() + 60] * 4)
    for url in ("http://a.example/1", "http://A.example:80/2", "https://b.example/", "no URL"):
        await world.call(rated_by_host, url=url)
    names = [limit.name for limit in world.taken]
    assert names == [
        "tool:rated_by_host at a.example",
        "tool:rated_by_host at a.example",
        "tool:rated_by_host at b.example",
        "tool:rated_by_host",
    ]
    assert {limit.rate.count for limit in world.taken} == {30}
