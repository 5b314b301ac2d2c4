"""The OpenAPI document describes each answer by a model of its own, and what workers answer fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import orjson
import pytest

from docs.generate.http import served
from schemas.schedule import ScheduleRun, ScheduleState
from streams import Breaker, schedule, tool
from streams.choices import Budget
from streams.clock import iso
from streams.engine.slots import Slots
from streams.gateway.app import build
from streams.gateway.deps import Deps
from streams.gateway.openapi import document, problem_types
from streams.limits.breakers import BreakerRegistry
from streams.limits.budget_account import BudgetAmount
from streams.query.wire import WorkerResponse
from streams.worker.schedules.schedules import OwnedSchedules
from tests.flow.contract import ContractError, contract
from tests.unit.gateway import _gateway
from tests.unit.gateway._book import FakeBook
from tests.unit.gateway._gateway import FakeLog, FakeOwners, Settings, catalog, world
from tests.unit.worker.test_run_list import Room
from topics.names import Names

DESCRIBED = document(served(), "1", None)
OPERATIONS = [
    (method, path, operation) for path, methods in DESCRIBED["paths"].items() for method, operation in methods.items()
]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_success_has_a_schema_of_its_own(method: str, path: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if status < "400":
            assert response["content"], f"{method} {path} {status}"
            for media, content in response["content"].items():
                assert is_exact(content["schema"], media), f"{method} {path} {status} {media}"


def is_exact(schema: dict[str, Any], media: str) -> bool:
    """Return whether a schema names members, or is text that is no JSON."""
    if "anyOf" in schema:
        return all(is_exact(one, media) for one in schema["anyOf"])
    if "$ref" in schema:
        return is_exact(DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]], media)
    if schema.get("type") == "array":
        return is_exact(schema["items"], media)
    return bool(schema.get("properties")) or (media != "application/json" and schema["type"] == "string")


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_problem_names_its_types(method: str, path: str, operation: dict[str, Any]) -> None:
    known = {kind.uri for kind in problem_types(served())}
    for status, response in operation["responses"].items():
        if status >= "400" and "application/problem+json" in response["content"]:
            schema = response["content"]["application/problem+json"]["schema"]
            assert set(schema["properties"]["type"]["enum"]) <= known, f"{method} {path} {status}"


def test_every_reference_leads_to_a_schema() -> None:
    text = orjson.dumps(DESCRIBED).decode()
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(DESCRIBED["components"]["schemas"])
    assert "ProblemDocument" in names


def test_an_answer_that_is_not_described_is_found() -> None:
    with pytest.raises(ContractError, match="more"):
        contract().check_model("RunUnfinished", {"run_id": "r", "status": "queued", "more": 1})
    with pytest.raises(ContractError, match="status"):
        contract().check_model("RunUnfinished", {"run_id": "r"})


async def test_lists_of_runs_and_approvals_are_as_workers_answer_them(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for number, status in enumerate(("queued", "running", "waiting", "succeeded", "failed", "cancelled")):
        room.submit(f"r-{number}", 1_000 + number, customer="c")
        if status != "queued":
            room.move(f"r-{number}", "running")
            room.move(f"r-{number}", status) if status != "running" else None
    room.ask("r-1", "pay")
    async with world() as it:
        found = await answered(room.list.page, "limit=100")
        assert len(found["runs"]) == 6
        it.owners.parts = {"default": [found]}
        assert len((await it.client.get("/runs")).json()["runs"]) == 6


async def answered(page: Any, query: str) -> Any:
    """Return what a page of a worker answers."""
    request = cast("Any", type("Request", (), {"query_params": dict(part.split("=") for part in query.split("&"))})())
    return orjson.loads((await page(request)).body)


async def test_the_other_lists_are_answered_as_they_are_described() -> None:
    book = FakeBook()
    book.add("d1")
    async with world(letters=book) as it:
        it.owners.knows("r-1")
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps({"entries": []}))
        for path in (
            "/agents",
            "/tools",
            "/workers",
            "/schedules",
            "/budgets",
            "/breakers",
            "/tables",
            "/dead-letters",
            "/dead-letters?group=true",
            "/dead-letters/d1",
            "/runs/r-1",
            "/runs/r-1/history",
            "/runs/r-1/approvals",
            "/approvals",
            "/runs",
            "/healthz",
            "/readyz",
            "/openapi.json",
        ):
            assert (await it.client.get(path)).status_code == 200, path
        for path, body in (
            ("/runs", {"agent": "research", "input": {"topic": "x"}}),
            ("/events", {"type": "new_data_arrived", "data": {"source": "s"}}),
            ("/runs/r-1/cancel", None),
            ("/agents/research/pause", None),
            ("/dead-letters/d1/discard", None),
        ):
            assert (await it.post(path, body)).status_code == 202, path


@schedule(cron="0 2 * * *")
def nightly() -> None:
    """Do nothing at night."""


@tool(breaker=Breaker())
def fragile(number: int) -> int:
    """Return the number."""
    return number


async def test_breakers_budgets_and_schedules_are_as_workers_answer_them() -> None:
    registry = BreakerRegistry([fragile], "w0", cast("Any", None), cast("Any", None))
    registry.force("fragile", open_=True)
    owned = cast("Any", SimpleNamespace(_slots={"nightly": Slots(nightly)}))
    state = ScheduleState(
        schedule="nightly", cursor_ms=1_000, running=[ScheduleRun(run_id="r", agent="research", pool="default")]
    )
    account = {
        "scope": "agent:research",
        "pool": "default",
        "day": "2026-01-01",
        "used": BudgetAmount(1, 0.5, 2)._asdict(),
        "under_way": BudgetAmount()._asdict(),
        "given": Budget(usd=5).model_dump(),
        "spent": None,
        "updated_at": iso(1_000),
    }
    owners = FakeOwners()
    owners.parts["default"] = [
        {"breakers": registry.shown(), "schedules": [OwnedSchedules._shown(owned, state)], "budgets": [account]}
    ]
    found = replace(catalog(), schedules={"nightly": nightly}, tools={"fragile": fragile})
    app = build(Deps(Settings(), found, FakeLog(), owners, Names()))
    async with httpx.AsyncClient(transport=_gateway.connect(app), base_url=_gateway.URL) as client:
        (breaker,) = (await client.get("/breakers")).json()["breakers"]
        assert (breaker["state"], breaker["said_by"], breaker["forced"]) == ("open", "w0", True)
        (shown,) = (await client.get("/schedules")).json()["schedules"]
        assert (shown["running"], shown["cron"]) == (["r"], "0 2 * * *")
        assert "agent:research" in {one["scope"] for one in (await client.get("/budgets")).json()["budgets"]}
        for path, body in (
            ("/breakers/fragile", {"state": "closed"}),
            ("/schedules/nightly/trigger", None),
            ("/schedules/nightly/backfill", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}),
        ):
            assert (await client.post(path, json=body)).status_code == 202, path
        dry = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z", "dry_run": True}
        assert (await client.post("/schedules/nightly/backfill", json=dry)).json() == {
            "schedule": "nightly",
            "slots": 2,
        }
