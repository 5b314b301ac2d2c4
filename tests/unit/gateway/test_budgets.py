"""`/budgets` and `/breakers`: what workers tell is shown, and an order is one record for whoever keeps the account."""

from __future__ import annotations

from schemas.usage import BudgetChanged
from streams.choices import Budget
from tests.unit.gateway._gateway import Settings, api_key, problem, world

USUAL = Settings(budgets={"agent": Budget(usd=5), "run": Budget(calls=3)})


async def test_accounts_are_shown_with_what_the_code_gives() -> None:
    async with world(USUAL) as it:
        it.owners.parts["default"] = [{"budgets": [{"scope": "agent:research", "used": {"usd": 1.0}, "given": None}]}]
        found = {one["scope"]: one for one in (await it.client.get("/budgets")).json()["budgets"]}
        assert found["agent:research"]["declared"]["usd"] == 5
        assert found["agent:research"]["used"] == {"usd": 1.0}
        assert found["agent:scraper"]["used"] is None


async def test_an_order_goes_to_the_account_s_home() -> None:
    async with world(USUAL) as it:
        answer = await it.post("/budgets/agent:scraper", {"usd": 2.5, "calls": None})
        assert (answer.status_code, answer.json()["accepted"]["usd"]) == (202, 2.5)
        (record,) = it.log.on("signals")
        assert isinstance(record.event, BudgetChanged)
        assert (record.key, record.event.usd, record.event.calls) == ("agent:scraper", 2.5, None)
        assert record.headers == {"agent": "scraper", "pool": "scraper"}


async def test_orders_that_change_nothing_are_refused() -> None:
    async with world(USUAL) as it:
        problem(await it.post("/budgets/agent:nobody", {}), 404, "unknown-agent")
        meant = problem(await it.post("/budgets/agent:scrapper", {}), 404, "unknown-agent")
        assert "did you mean scraper?" in meant["detail"]
        problem(await it.post("/budgets/team:x", {}), 422, "invalid-request")
        problem(await it.post("/budgets/agent:research", {"usd": -1}), 422, "invalid-request")
        problem(await it.post("/budgets/agent:research", {"cents": 1}), 422, "invalid-request")
        problem(await it.post("/budgets/key:research/x", {"usd": 1}), 409, "conflict")
    async with world() as it:
        problem(await it.post("/budgets/agent:research", {"usd": 1}), 409, "conflict")
    key = "k" * 40
    async with world(Settings(api_keys=(api_key(key, "read", "submit"),))) as it:
        problem(await it.post("/budgets/agent:research", {"usd": 1}, x_api_key=key), 403, "forbidden")


async def test_of_what_workers_say_of_a_breaker_the_newest_counts() -> None:
    async with world() as it:
        said = [("closed", "2026-01-01"), ("open", "2026-01-02"), ("closed", None)]
        it.owners.parts["default"] = [
            {"breakers": [{"tool": "t", "state": state, "since": since}]} for state, since in said
        ]
        assert [one["state"] for one in (await it.client.get("/breakers")).json()["breakers"]] == ["open"]
        problem(await it.post("/breakers/nobody", {"state": "open"}), 404, "not-found")
