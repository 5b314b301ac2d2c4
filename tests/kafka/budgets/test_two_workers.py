"""Budgets over two real workers: kept, told of, raised, and exact though one of the workers is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from schemas.alert import AlertRaised, AlertResolved
from streams.cli.calls import whole
from streams.local.kafka import EmbeddedKafka
from tests.faults.rig import pipeline as rig
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.gateway._served import served
from tests.unit.model._endpoint import completion, endpoint


class Model:
    """An endpoint that counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.asked: list[Any] = []
        self.says = "hello"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.calls += 1
        return web.json_response(completion(self.says))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest_asyncio.fixture
async def pair(
    kafka: EmbeddedKafka, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pipeline]:
    """Return a pipeline with two workers."""
    monkeypatch.setattr(rig, "APP", "tests.apps.budgets")
    async with endpoint(model.answer) as url, Pipeline(kafka.bootstrap, tmp_path, partitions=8) as made:
        made.settings = made.settings.changed(llm_base_url=url, llm_model="gpt-4o-mini")
        await asyncio.gather(made.running("a"), made.running("b"))
        yield made


async def seen(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    view: dict[str, Any] = (await client.get(f"/runs/{run_id}")).json()
    return view


async def test_a_budget_holds_and_a_killed_worker_changes_nothing(pair: Pipeline, model: Model) -> None:
    async with served(pair.settings, declared=False) as (client, _):
        runs = await pair.submit_many(20, "frugal")

        async def parked() -> list[str]:
            views = [await seen(client, one) for one in runs]
            why = "budget of agent:frugal"
            return [v["run_id"] for v in views if v["status"] == "waiting" and why in (v["reason"] or "")]

        async def is_parked(count: int) -> bool:
            return len(await parked()) == count

        await until(lambda: is_parked(15))
        assert model.calls == 5
        pair.workers[0].kill()
        assert (await client.post("/budgets/agent:frugal", json={"calls": 12})).status_code == 202
        await until(lambda: is_parked(8))
        assert model.calls == 12
        assert (await client.post("/budgets/agent:frugal", json={"calls": 100})).status_code == 202
        await pair.ended(runs)
        assert model.calls == 20

        async def settled() -> bool:
            return int((await account_of(client, "agent:frugal"))["used"]["calls"]) == 20

        await until(settled)  # what was used comes by the log, a moment after the end
        account = await account_of(client, "agent:frugal")
        assert account["used"]["tokens"] == 20 * 1500
        assert (account["declared"]["calls"], account["given"]["calls"]) == (5, 100)

        async def added_up() -> bool:
            found = (await client.get("/tables/usage", params={"prefix": "frugal/"})).json()["rows"]
            return sum(int(row["value"]["calls"]) for row in found) == 20

        await until(added_up)
        rows = (await client.get("/tables/usage", params={"prefix": "frugal/"})).json()["rows"]
        assert [(row["value"]["calls"], row["value"]["input_tokens"]) for row in rows] == [(20, 20_000)]
        assert rows[0]["value"]["cost_usd"] == pytest.approx(20 * (800 * 0.15 + 200 * 0.075 + 500 * 0.6) / 1e6)
        names: list[type] = []

        async def told() -> bool:
            found = [one.event for one in await pair.events(pair.names.events)]
            names[:] = [type(one) for one in found if isinstance(one, AlertRaised | AlertResolved)]
            return len(names) >= 4

        await until(told)
        assert names == [AlertRaised, AlertResolved, AlertRaised, AlertResolved]


async def account_of(client: httpx.AsyncClient, scope: str) -> dict[str, Any]:
    accounts = (await client.get("/budgets")).json()["budgets"]
    return next(one for one in accounts if one["scope"] == scope)


async def test_budgets_of_a_run_and_of_a_key(pair: Pipeline, model: Model) -> None:
    async with served(pair.settings, declared=False) as (client, _):
        long = await pair.submit("thrifty", {"times": 4, "customer": "a"})

        async def waits(run_id: str, why: str) -> bool:
            view = await seen(client, run_id)
            return view["status"] == "waiting" and why in (view["reason"] or "")

        await until(lambda: waits(long, f"run:{long}"))
        assert model.calls == 2
        assert (await client.post(f"/budgets/run:{long}", json={"calls": 9})).status_code == 202
        await until(lambda: waits(long, "key:thrifty/a"))
        assert model.calls == 3
        other = await pair.submit("thrifty", {"times": 1, "customer": "b"})
        await pair.ended([other])
        assert (await client.post("/budgets/key:thrifty/a", json={"calls": 4})).status_code == 202
        await pair.ended([long])
        assert model.calls == 5

        async def told() -> bool:
            return (await seen(client, long)).get("status") == "succeeded"

        await until(told)  # an ending may be read before its worker has heard of the commit
        assert (await seen(client, long))["usage"]["llm_calls"] == 4
        assert (await client.post("/breakers/shaky", json={"state": "open"})).status_code == 202

        await until(lambda: shaky_is(client, "open"))
        assert (await client.post("/breakers/shaky", json={"state": "closed"})).status_code == 202
        await until(lambda: shaky_is(client, "closed"))


async def test_the_budget_of_a_run_covers_its_family_and_calls_of_tools(pair: Pipeline, model: Model) -> None:
    async with served(pair.settings, declared=False) as (client, _):
        top = await pair.submit("family", {"times": 3})

        async def is_parked() -> bool:
            answer = await client.get("/runs", params={"agent": "relative", "status": "waiting"})
            found = answer.json()["runs"] if answer.status_code == 200 else []  # workers join: some may not answer yet
            views = [await seen(client, one["run_id"]) for one in found]
            return any(f"budget of run:{top} is spent: 5 calls of 5 calls used" in (v["reason"] or "") for v in views)

        await until(is_parked)  # the third relative has its answer, and nothing is left for its tool
        assert model.calls == 3
        assert (await client.post(f"/budgets/run:{top}", json={"calls": 6})).status_code == 202
        assert (await pair.ended([top]))[top][0].result == 3
        assert model.calls == 3


async def test_a_conversation_is_on_the_log_once(pair: Pipeline, model: Model) -> None:
    model.says = "so " * 700
    made = []
    for rounds in (8, 16):
        run = await pair.submit("talker", {"times": rounds})
        assert (await pair.ended([run]))[run][0].result == rounds + 1
        calls = [vars(one.event) for one in await pair.events(pair.names.calls) if one.event]
        made.append([call for call in calls if call["run_id"] == run])
    short, long = (sum(len(orjson.dumps(call["request"])) for call in calls) for calls in made)
    assert long < 16 * 4_000, "each of sixteen rounds added two thousand characters"
    assert long < short * 2.3
    sent = [{"messages": one["messages"]} for one in model.asked[8:]]
    assert [{"messages": one["request"]["messages"]} for one in in_order(made[1])] == sent


def in_order(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return calls as `streams runs calls` shows them."""
    return whole(sorted(calls, key=lambda call: (call["started_ms"], int(call["path"]))))


async def test_a_hundred_equal_questions_over_two_workers_are_one_call(pair: Pipeline, model: Model) -> None:
    runs = [await pair.submit("same", {"text": "What is it?"}) for _ in range(100)]
    ended = await pair.ended(runs)
    assert model.calls == 1
    assert sum((one[0].usage or {}).get("recorded_hits", 0) for one in ended.values()) == 99
    assert {one[0].result for one in ended.values()} == {"hello"}


async def shaky_is(client: httpx.AsyncClient, state: str) -> bool:
    found = (await client.get("/breakers")).json()["breakers"]
    return [one["state"] for one in found if one["tool"] == "shaky"] == [state]
