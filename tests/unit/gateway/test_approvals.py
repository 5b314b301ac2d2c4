"""Who may answer for a run: a key with scope `approve` that did not start it, and nobody by another way."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from schemas.run import RunSubmitted
from schemas.signal import ForkRequested, SignalSent
from streams.query.wire import WorkerResponse
from tests.unit.gateway._gateway import Settings, World, api_key, problem, world
from tests.unit.gateway.test_runs import ENTRIES, asks

STARTER, APPROVER, BOTH, BOSS, READER = (letter * 22 for letter in "sabkr")
KEYS = (
    api_key(STARTER, "submit", "read"),
    api_key(APPROVER, "approve"),
    api_key(BOTH, "submit", "read", "approve"),
    api_key(BOSS, "admin"),
    api_key(READER, "read"),
)


def named(key: str) -> str:
    """Return the name of a key's holder, as runs record it."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def waits(it: World, started_by: str | None) -> None:
    it.owners.knows("r-1", status="waiting", started_by=started_by)
    entries = {"entries": asks(1, "pay")}
    it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps(entries))


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize(
    ("key", "started_by", "refused"),
    [
        (STARTER, named(STARTER), "forbidden"),
        (STARTER, named(APPROVER), "forbidden"),
        (READER, named(STARTER), "forbidden"),
        (BOTH, named(BOTH), "own-run"),
        (BOSS, named(BOSS), "own-run"),
        (BOTH, named(STARTER), None),
        (APPROVER, named(STARTER), None),
        (BOSS, named(STARTER), None),
        (APPROVER, "webhook:github", None),
        (APPROVER, None, None),
    ],
)
async def test_another_key_with_the_scope_answers(
    verb: str, key: str, started_by: str | None, refused: str | None
) -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        waits(it, started_by)
        answer = await it.post(f"/runs/r-1/{verb}", authorization=f"Bearer {key}")
        if refused is not None:
            problem(answer, 403, refused)
            assert it.log.on("signals") == []
            return
        assert answer.status_code == 202
        [record] = it.log.on("signals")
        assert isinstance(record.event, SignalSent)
        assert record.event.data["by"] == named(key)


@pytest.mark.parametrize("path", ["approval", "%61pproval"])
async def test_an_approval_cannot_be_sent_as_a_signal(path: str) -> None:
    for settings, headers in ((Settings(), {}), (Settings(api_keys=KEYS), {"authorization": f"Bearer {BOSS}"})):
        async with world(settings) as it:
            waits(it, None)
            forged = {"token": "t1", "approved": True}
            answer = await it.client.post(f"/runs/r-1/signals/{path}", json=forged, headers=headers)
            assert "/approve" in problem(answer, 403, "forbidden")["detail"]
            assert it.log.written == []


async def test_on_loopback_without_keys_there_is_nobody_to_tell_apart() -> None:
    async with world() as it:
        waits(it, None)
        assert (await it.post("/runs/r-1/approve")).status_code == 202


async def test_a_run_records_by_which_key_it_was_started_and_never_the_key() -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        await it.post("/runs", {"agent": "research", "input": {"topic": "x"}}, authorization=f"Bearer {STARTER}")
        await it.post("/webhooks/custom", {"agent": "research", "input": {"topic": "y"}}, x_api_key=BOTH)
        first, second = (record.event for record in it.log.on("agents.research"))
        assert isinstance(first, RunSubmitted)
        assert isinstance(second, RunSubmitted)
        assert (first.caller, second.caller) == (named(STARTER), named(BOTH))
        it.owners.knows("r-2", status="failed")
        it.owners.says["default", "/owner/runs/r-2/history"] = WorkerResponse(200, orjson.dumps(ENTRIES))
        await it.post("/runs/r-2/fork", {"at": "1"}, x_api_key=BOTH)
        [fork] = [record.event for record in it.log.on("signals")]
        assert isinstance(fork, ForkRequested)
        assert fork.caller == named(BOTH)
        assert not any(key in repr(record) for record in it.log.written for key in (STARTER, BOTH))


def run(number: int, *what: str) -> dict[str, Any]:
    return {
        "run_id": f"r-{number}",
        "agent": "research",
        "created_at": f"2026-01-0{number}T00:00:00.000Z",
        "started_by": None,
        "approvals": [{"token": f"t-{one}", "what": one} for one in what],
    }


async def test_all_that_waits_is_listed_by_run_over_all_workers() -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        it.owners.parts["default"] = [
            {"runs": [run(3, "pay", "ship"), run(1, "hire")], "next": None},
            {"runs": [run(2, "merge")], "next": "more"},
        ]
        it.owners.parts["scraper"] = [{"runs": [], "next": None}]
        reader = {"authorization": f"Bearer {READER}"}
        page = (await it.client.get("/approvals?limit=2", headers=reader)).json()
        assert [(one["run_id"], one["what"]) for one in page["approvals"]] == [
            ("r-3", "pay"),
            ("r-3", "ship"),
            ("r-2", "merge"),
        ]
        assert page["next"] is not None
        assert (await it.client.get(f"/approvals?cursor={page['next']}", headers=reader)).status_code == 200
        assert "cursor=2026-01-02" in it.owners.asked[-1][2]
        problem(await it.client.get("/approvals?status=x", headers=reader), 422, "invalid-request")
        problem(await it.client.get("/approvals?cursor=x", headers=reader), 422, "invalid-request")
        problem(await it.client.get("/approvals"), 401, "unauthenticated")
        problem(await it.client.get("/approvals", headers={"x-api-key": APPROVER}), 403, "forbidden")
