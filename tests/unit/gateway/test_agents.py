"""`/agents`: what workers tell of the queues is shown, and an order is one record for the owner of the agent's name."""

from __future__ import annotations

from typing import Any

from schemas.agent import AgentCommanded
from tests.unit.gateway._gateway import Settings, World, api_key, problem, world


async def shown(it: World) -> dict[str, Any]:
    return {one["name"]: one for one in (await it.client.get("/agents")).json()["agents"]}


async def test_queues_are_added_up_over_the_workers_of_a_pool() -> None:
    async with world() as it:
        it.owners.parts["default"] = [
            {"agents": [{"name": "research", "queued": 2, "paused": False}]},
            {"agents": [{"name": "research", "queued": 3, "paused": True}]},
        ]
        found = await shown(it)
        assert (found["research"]["paused"], found["research"]["queued"]) == (True, 5)
        assert (found["scraper"]["paused"], found["scraper"]["queued"]) == (None, None)
        assert found["research"]["input"]["properties"]["depth"]["default"] == 2


async def test_without_workers_the_agents_are_there() -> None:
    async with world() as it:
        it.owners.silent.update({"default", "scraper"})
        assert [one["paused"] for one in (await shown(it)).values()] == [None, None]


async def test_an_order_goes_to_the_pool_of_the_agent_under_its_name() -> None:
    async with world() as it:
        answer = await it.post("/agents/scraper/pause")
        assert (answer.status_code, answer.json()["accepted"]) == (202, "pause")
        assert (await it.post("/agents/scraper/resume", {})).status_code == 202
        first, second = it.log.on("signals")
        assert isinstance(first.event, AgentCommanded)
        assert (first.event.agent, first.event.command, first.key) == ("scraper", "pause", "scraper")
        assert first.headers == {"agent": "scraper", "pool": "scraper"}
        assert first.id == first.event.request_id != second.id


async def test_a_repeat_under_one_key_is_one_request() -> None:
    async with world() as it:
        for _ in range(2):
            await it.post("/agents/research/pause", idempotency_key="k")
        first, second = it.log.on("signals")
        assert first.id == second.id


async def test_orders_are_refused_for_unknown_agents_with_a_body_and_without_the_scope() -> None:
    async with world() as it:
        assert "/agents" in problem(await it.post("/agents/nobody/pause"), 404, "unknown-agent")["detail"]
        meant = problem(await it.post("/agents/reserch/pause"), 404, "unknown-agent")
        assert "did you mean research?" in meant["detail"]
        problem(await it.post("/agents/research/pause", {"for": "ever"}), 422, "invalid-request")
        it.log.down = True
        problem(await it.post("/agents/research/pause"), 503, "not-acknowledged")
    key = "k" * 40
    async with world(Settings(api_keys=(api_key(key, "read", "submit"),))) as it:
        problem(await it.post("/agents/research/pause", x_api_key=key), 403, "forbidden")


async def test_a_queue_that_waits_says_why() -> None:
    """Old and new workers side by side: partitions of the old ones keep the new agent's queue."""
    async with world() as it:
        it.owners.lacking["default", "research"] = [3, 5]
        it.owners.silent = {"scraper"}
        found = await shown(it)
        assert found["research"]["waits"] == "the owners of partitions 3, 5 do not have agent 'research' in their code"
        assert (
            found["scraper"]["waits"]
            == "no live worker of pool 'scraper': start one with `streams worker --pool scraper`"
        )
        it.owners.lacking.clear()
        assert (await shown(it))["research"]["waits"] is None
