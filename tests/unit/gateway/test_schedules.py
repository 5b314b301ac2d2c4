"""`/schedules`: what owners tell is shown, and an order is one record for the owner of the schedule's name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from schemas.schedule import ScheduleCommanded
from streams import hours, schedule
from streams.gateway.app import build
from streams.gateway.deps import Deps
from streams.gateway.schedules import MOST_SLOTS
from tests.unit.gateway._gateway import URL, FakeLog, FakeOwners, Settings, World, api_key, catalog, problem
from topics.names import Names

ROW = {
    "name": "digest",
    "next_slot": "2026-11-25T01:00:00.000Z",
    "last_slot": "2026-11-24T01:00:00.000Z",
    "paused": False,
    "fired": 7,
    "failed": 1,
    "missed": 2,
    "skipped": 3,
    "waiting": 0,
    "running": ["t-1"],
    "backfills": 0,
}


@schedule(cron="0 2 * * *", tz="Europe/Paris", catch_up=hours(6))
def digest() -> None:
    """Send the digest."""


@schedule(every=1)
def quick() -> None:
    """Do something each second."""


@asynccontextmanager
async def world(settings: Settings | None = None) -> AsyncIterator[World]:
    log, owners, found = FakeLog(), FakeOwners(), catalog()
    found.schedules.update(digest=digest, quick=quick)
    app = build(Deps(settings or Settings(), found, log, owners, Names()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        yield World(app, client, log, owners)


def ordered(it: World) -> list[Any]:
    return [record.event for record in it.log.on("signals")]


async def test_what_owners_tell_is_shown_beside_the_definition() -> None:
    async with world() as it:
        it.owners.parts["default"] = [{"schedules": []}, {"schedules": [ROW]}]
        shown = {one["name"]: one for one in (await it.client.get("/schedules")).json()["schedules"]}
        assert {name: shown["digest"][name] for name in ROW} == ROW
        assert (shown["digest"]["cron"], shown["digest"]["tz"], shown["digest"]["catch_up_s"]) == (
            "0 2 * * *",
            "Europe/Paris",
            21_600,
        )
        assert (shown["quick"]["next_slot"], shown["quick"]["missed"]) == (None, None)


async def test_without_workers_the_definitions_are_there() -> None:
    async with world() as it:
        it.owners.silent.add("default")
        answer = await it.client.get("/schedules")
        assert answer.status_code == 200
        assert [one["name"] for one in answer.json()["schedules"]] == ["digest", "quick"]


@pytest.mark.parametrize("command", ["pause", "resume", "trigger"])
async def test_an_order_is_one_record_under_the_schedules_name(command: str) -> None:
    async with world() as it:
        answer = await it.post(f"/schedules/digest/{command}")
        assert answer.status_code == 202
        (record,) = it.log.on("signals")
        event = record.event
        assert isinstance(event, ScheduleCommanded)
        assert (record.key, record.headers) == ("digest", {"pool": "default"})
        assert (event.command, event.request_id, record.id) == (command, answer.json()["id"], answer.json()["id"])
        assert (event.slot_from_ms is not None) is (command == "trigger")


async def test_the_same_key_is_the_same_request() -> None:
    async with world() as it:
        for _ in range(2):
            await it.post("/schedules/digest/trigger", idempotency_key="once")
        await it.post("/schedules/quick/trigger", idempotency_key="once")
        ids = [event.request_id for event in ordered(it)]
        assert ids[0] == ids[1] != ids[2]


async def test_a_backfill_says_how_many_slots_it_goes_through_and_dry_writes_nothing() -> None:
    span = {"from": "2026-03-28T00:00:00", "to": "2026-03-31T00:00:00"}  # without offset: in Paris, over a short night
    async with world() as it:
        dry = await it.post("/schedules/digest/backfill", {**span, "dry_run": True})
        assert (dry.status_code, dry.json()) == (200, {"schedule": "digest", "slots": 3})
        assert it.log.written == []
        real = await it.post("/schedules/digest/backfill", {**span, "force": True})
        assert (real.status_code, real.json()["slots"]) == (202, 3)
        (event,) = ordered(it)
        assert (event.slot_to_ms - event.slot_from_ms, event.force) == ((3 * 24 - 1) * 3_600_000, True)


async def test_what_makes_no_sense_is_refused_and_not_written() -> None:
    past = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
    async with world() as it:
        problem(await it.post("/schedules/nobody/pause"), 404, "not-found")
        problem(await it.post("/schedules/digest/pause", {"for": "ever"}), 422, "invalid-request")
        for body in ({}, {"from": 1, "to": 2}, {**past, "to": past["from"]}, {**past, "force": "yes"}):
            problem(await it.post("/schedules/digest/backfill", body), 422, "invalid-request")
        told = problem(await it.post("/schedules/quick/backfill", past), 422, "invalid-request")
        assert str(MOST_SLOTS) in told["detail"]
        assert it.log.written == []


async def test_orders_need_the_admin_scope() -> None:
    async with world(Settings(api_keys=(api_key("reader", "read", "submit"), api_key("boss", "admin")))) as it:
        problem(await it.post("/schedules/digest/pause", authorization="Bearer reader"), 403, "forbidden")
        answer = await it.post("/schedules/digest/pause", authorization="Bearer boss")
        assert answer.status_code == 202
