"""Reading runs over pools, lists over workers, and orders to runs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.signal import CancelRequested, ForkRequested, ResumeRequested, SignalSent
from streams.query.wire import WorkerResponse
from tests.unit.gateway._gateway import problem, world

ENTRIES = {"entries": [{"seq": 1, "path": "0", "name": "plan"}, {"seq": 2, "path": "1", "name": "scrape_url"}]}


async def test_the_owners_words_are_passed_on_as_they_are() -> None:
    async with world() as it:
        said = b'{"run_id":"r-1","status":"running", "more": [1]}'
        it.owners.says["scraper", "/owner/runs/r-1"] = WorkerResponse(200, said)
        shown = await it.client.get("/runs/r-1")
        assert (shown.status_code, shown.content) == (200, said)
        failed = WorkerResponse(
            409, b'{"type":"run-ended","detail":"the run failed","failed_path":"2","error":{"message":"x"}}'
        )
        it.owners.says["scraper", "/owner/runs/r-1/result"] = failed
        result = await it.client.get("/runs/r-1/result")
        body = problem(result, 409, "run-not-succeeded")
        assert (body["detail"], body["failed_path"], body["error"]) == ("the run failed", "2", {"message": "x"})


async def test_a_run_that_no_pool_knows_is_404() -> None:
    async with world() as it:
        for path in ("/runs/nope", "/runs/nope/result", "/runs/nope/history"):
            problem(await it.client.get(path), 404, "unknown-run")
        assert {pool for pool, *_ in it.owners.asked} == {"default", "scraper"}


async def test_a_silent_pool_that_may_have_the_run_is_503_and_no_404() -> None:
    async with world() as it:
        it.owners.silent = {"scraper"}
        answer = await it.client.get("/runs/nope")
        problem(answer, 503, "owner-unavailable")
        assert answer.headers["retry-after"] == "1"
        it.owners.knows("r-1")
        assert (await it.client.get("/runs/r-1")).status_code == 200


async def test_run_ids_are_quoted_on_the_way_to_the_owner() -> None:
    async with world() as it:
        await it.client.get("/runs/a%3Fb%23c")
        assert it.owners.asked[0] == ("default", "a?b#c", "/owner/runs/a%3Fb%23c")


def run(number: int) -> dict[str, str]:
    return {"run_id": f"r-{number}", "created_at": f"2026-01-01T00:00:{number:02d}Z"}


async def test_lists_are_merged_newest_first_and_paged() -> None:
    async with world() as it:
        it.owners.parts = {"default": [{"runs": [run(9), run(3)]}, {"runs": [run(5)]}], "scraper": [{"runs": [run(7)]}]}
        page = (await it.client.get("/runs?limit=3&status=failed&agent=research&since=2026-01-01T00:00:00Z")).json()
        assert [item["run_id"] for item in page["runs"]] == ["r-9", "r-7", "r-5"]
        assert "status=failed" in it.owners.asked[0][2]
        await it.client.get("/runs", params={"cursor": page["next"]})
        assert "cursor=2026-01-01T00%3A00%3A05Z~r-5" in it.owners.asked[-1][2]
        assert (await it.client.get("/runs")).json()["next"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=9999", "limit"),
        ("status=odd", "status"),
        ("since=odd", "since"),
        ("since=9999-12-31T23:59:59-23:59", "since"),
        ("cursor=%C3%A4", "cursor"),
        ("cursor=%25%25%25", "cursor"),
        ("cursor=YWJj", "cursor"),
        ("state=failed", "state"),
        ("cursor=eWVzdGVyZGF5fnIx", "cursor"),
    ],
)
async def test_a_wrong_query_is_422(query: str, field: str) -> None:
    async with world() as it:
        assert problem(await it.client.get(f"/runs?{query}"), 422, "invalid-request")["errors"][0]["field"] == field


async def test_a_list_without_all_workers_is_503() -> None:
    async with world() as it:
        it.owners.silent = {"default", "scraper"}
        problem(await it.client.get("/runs"), 503, "owner-unavailable")


async def test_orders_are_signals_under_the_runs_key_with_agent_and_pool() -> None:
    async with world() as it:
        it.owners.knows("r-1", "scraper", agent="scraper")
        assert (await it.post("/runs/r-1/cancel", {"reason": "enough"})).status_code == 202
        signal = await it.post("/runs/r-1/signals/new_data_arrived", {"source": "feed"})
        assert signal.status_code == 202
        cancel, sent = it.log.on("signals")
        assert isinstance(cancel.event, CancelRequested)
        assert cancel.event.reason == "enough"
        assert isinstance(sent.event, SignalSent)
        assert (sent.event.name, sent.event.data) == ("new_data_arrived", {"source": "feed"})
        for record in (cancel, sent):
            assert (record.key, record.headers) == ("r-1", {"agent": "scraper", "pool": "scraper"})


async def test_an_order_repeated_with_its_key_has_the_same_id() -> None:
    async with world() as it:
        it.owners.knows("r-1")
        first, again = [await it.post("/runs/r-1/cancel", None, idempotency_key="k") for _ in range(2)]
        assert first.json() == again.json()
        other = await it.post("/runs/r-1/signals/new_data_arrived", {"source": "x"}, idempotency_key="k")
        assert other.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        ("succeeded", "cancel", None),
        ("failed", "cancel", None),
        ("cancelled", "cancel", None),
        ("running", "resume", None),
        ("succeeded", "resume", None),
        ("succeeded", "signals/new_data_arrived", {"source": "x"}),
        ("cancelled", "signals/new_data_arrived", {"source": "x"}),
    ],
)
async def test_an_order_that_the_state_does_not_allow_is_409(status: str, path: str, body: Any) -> None:
    async with world() as it:
        it.owners.knows("r-1", status=status)
        problem(await it.post(f"/runs/r-1/{path}", body), 409, "conflict")
        assert it.log.written == []


async def test_resume_names_the_ending_that_it_saw() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="failed", endings=2)
        assert (await it.post("/runs/r-1/resume")).status_code == 202
        [record] = it.log.on("signals")
        assert isinstance(record.event, ResumeRequested)
        assert (record.event.ending, record.headers["ending"]) == (2, "2")


async def test_a_failed_run_still_takes_signals() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="failed")
        assert (await it.post("/runs/r-1/signals/new_data_arrived", {"source": "x"})).status_code == 202


async def test_orders_to_nobody_are_404_and_wrong_ones_422() -> None:
    async with world() as it:
        problem(await it.post("/runs/nope/cancel"), 404, "unknown-run")
        it.owners.knows("r-1")
        problem(await it.post("/runs/r-1/cancel", {"why": 1}), 422, "invalid-request")
        problem(await it.post("/runs/r-1/cancel", {"reason": 1}), 422, "invalid-request")
        problem(await it.post("/runs/r-1/signals/never.heard", {}), 422, "unknown-event-type")
        wrong = problem(await it.post("/runs/r-1/signals/new_data_arrived", {}), 422, "invalid-event")
        assert wrong["errors"][0]["field"] == "source"
        it.log.down = True
        problem(await it.post("/runs/r-1/cancel"), 503, "not-acknowledged")


async def test_a_run_just_submitted_can_be_cancelled_before_a_worker_has_it() -> None:
    async with world() as it:
        await it.post("/runs", {"agent": "scraper", "input": {"topic": "x"}, "run_id": "r-1"})
        assert (await it.post("/runs/r-1/cancel")).status_code == 202
        assert it.log.on("signals")[0].headers == {"agent": "scraper", "pool": "scraper"}


@pytest.mark.parametrize("at", [2, "2", "scrape_url", "1"])
async def test_fork_at_a_seq_or_a_steps_name(at: Any) -> None:
    async with world() as it:
        it.owners.knows("r-1", status="succeeded")
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps(ENTRIES))
        answer = await it.post("/runs/r-1/fork", {"at": at, "edits": {"plan": {"x": 1}}})
        assert answer.status_code == 202
        new = answer.json()["run_id"]
        assert answer.headers["location"] == f"/runs/{new}"
        [record] = it.log.on("signals")
        assert isinstance(record.event, ForkRequested)
        assert (record.key, record.event.new_run_id, record.event.at) == ("r-1", new, str(at))
        assert (await it.client.get(f"/runs/{new}")).json()["forked_from"] == "r-1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"at": "nowhere"}, "at"),
        ({"at": True}, "at"),
        ({}, "at"),
        ({"at": 1, "edits": {"nowhere": 1}}, "edits.nowhere"),
        ({"at": 1, "edits": {"2": "x"}}, "edits.2"),
        ({"at": 1, "edits": []}, "edits"),
        ({"at": 1, "more": 1}, "more"),
        ([], "body"),
    ],
)
async def test_a_fork_that_names_no_step_is_422(body: Any, field: str) -> None:
    async with world() as it:
        it.owners.knows("r-1")
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps(ENTRIES))
        answer = problem(await it.post("/runs/r-1/fork", body), 422, "invalid-request")
        assert answer["errors"][0]["field"] == field
        assert it.log.written == []


def asks(number: int, what: str, status: str = "scheduled") -> list[dict[str, Any]]:
    """Return the lines of a history that asks for an approval, and of its wait."""
    at = "2026-01-31T12:00:00.000Z"
    asked = {"token": f"t{number}", "what": what, "parameters": {"n": number}}
    ask = {"seq": number, "path": str(number), "kind": "approval", "name": what, "input": asked, "started_at": at}
    wait = {"seq": number + 1, "path": str(number + 1), "kind": "wait", "name": "approval"}
    return [{**ask, "status": "completed"}, {**wait, "status": status, "input": None, "started_at": at}]


async def test_a_person_answers_what_a_run_asks() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="waiting")
        entries = [*asks(1, "pay", "completed"), *asks(3, "ship")]
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps({"entries": entries}))
        [asked] = (await it.client.get("/runs/r-1/approvals")).json()["approvals"]
        assert (asked["token"], asked["what"], asked["parameters"]) == ("t3", "ship", {"n": 3})
        yes = await it.post("/runs/r-1/approve", {"comment": "go"})
        assert (yes.status_code, yes.json()["what"]) == (202, "ship")
        no = await it.post("/runs/r-1/reject", {"token": "t3"})
        first, second = (record.event for record in it.log.on("signals"))
        assert isinstance(first, SignalSent)
        assert isinstance(second, SignalSent)
        assert (first.name, first.data) == ("approval", {"token": "t3", "approved": True, "comment": "go"})
        assert second.data["approved"] is False
        assert first.signal_id == second.signal_id == no.json()["id"], "whoever is first on the log is heard"
        problem(await it.post("/runs/r-1/approve", {"token": "t1"}), 409, "conflict")
        problem(await it.post("/runs/r-1/approve", {"comment": 1}), 422, "invalid-request")
        problem(await it.post("/runs/nope/approve"), 404, "unknown-run")


async def test_of_several_questions_one_is_named() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="waiting")
        entries = [*asks(1, "pay"), *asks(3, "ship")]
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps({"entries": entries}))
        assert "t1 (pay), t3 (ship)" in problem(await it.post("/runs/r-1/approve"), 409, "conflict")["detail"]
        assert (await it.post("/runs/r-1/approve", {"token": "t1"})).json()["what"] == "pay"
        settled = {"entries": asks(1, "pay", "completed")}
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps(settled))
        assert "nobody" in problem(await it.post("/runs/r-1/approve"), 409, "conflict")["detail"]


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"])
async def test_a_time_before_all_runs_lists_all_runs(since: str) -> None:
    async with world() as it:
        it.owners.parts["default"] = [{"runs": [], "next": None}]
        assert (await it.client.get("/runs", params={"since": since})).status_code == 200
        assert "since=1970-01-01T00%3A00%3A00" in it.owners.asked[0][2]


async def test_a_signal_with_a_name_of_its_own_is_taken_while_the_run_waits_for_it() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="waiting")
        wait = {"seq": 1, "path": "1", "kind": "wait", "name": "go", "status": "scheduled"}
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, orjson.dumps({"entries": [wait]}))
        assert (await it.post("/runs/r-1/signals/go", {"at": 1})).status_code == 202
        problem(await it.post("/runs/r-1/signals/stay", {}), 422, "unknown-event-type")


async def test_a_run_is_asked_as_it_was_after_an_entry() -> None:
    async with world() as it:
        it.owners.knows("r-1")
        assert (await it.client.get("/runs/r-1?at=3")).json()["status"] == "running"
        assert it.owners.asked[-1][2] == "/owner/runs/r-1?at=3"
        problem(await it.client.get("/runs/r-1?at=x"), 422, "invalid-request")
        it.owners.says["default", "/owner/runs/r-1"] = WorkerResponse(422, b'{"detail": "it has the entries 1 to 2"}')
        assert "1 to 2" in problem(await it.client.get("/runs/r-1?at=9"), 422, "invalid-request")["detail"]


async def test_a_copy_tells_of_a_run_whoever_takes_old_news() -> None:
    async with world() as it:
        it.owners.silent = {"default"}
        it.owners.says["default", "/standby/runs/r1"] = WorkerResponse(
            200, b'{"run_id":"r1","status":"running","stale":true}'
        )
        assert (await it.client.get("/runs/r1?stale=ok")).json()["stale"] is True
        problem(await it.client.get("/runs/r1"), 503, "owner-unavailable")
        problem(await it.client.get("/runs/r1?stale=ok&at=3"), 422, "invalid-request")


async def test_a_list_of_an_agents_runs_is_503_while_its_pool_has_no_worker() -> None:
    """An empty list would say that there are none."""
    async with world() as it:
        it.owners.silent = {"scraper"}
        problem(await it.client.get("/runs?agent=scraper"), 503, "owner-unavailable")
        assert (await it.client.get("/runs?agent=research")).json() == {"runs": [], "next": None}
        told = (await it.client.get("/runs")).json()
        assert [one["pool"] for one in told["incomplete"]] == ["scraper"]
        assert "streams worker --pool scraper" in told["incomplete"][0]["reason"]


async def test_an_id_that_no_live_worker_knows_is_told_with_the_pool_that_may_have_it() -> None:
    async with world() as it:
        it.owners.silent = {"scraper"}
        said = problem(await it.client.get("/runs/nobody"), 503, "owner-unavailable")
        assert (said["pool"], "may be another pool's" in said["detail"]) == ("scraper", True)
        assert [pool for pool, _, _ in it.owners.asked] == ["default"], "a pool without a worker is not waited for"
        it.owners.silent = set()
        problem(await it.client.get("/runs/nobody"), 404, "unknown-run")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cancel", None),
        ("resume", None),
        ("signals/new_data_arrived", {"source": "feed"}),
        ("fork", {"at": "plan"}),
        ("approve", None),
        ("reject", None),
    ],
)
async def test_an_order_to_an_expired_run_is_409_and_writes_nothing(path: str, body: Any) -> None:
    async with world() as it:
        it.owners.knows("r-1", status="expired", agent="research")
        it.owners.says["default", "/owner/runs/r-1/history"] = WorkerResponse(200, b'{"entries": []}')
        refused = problem(await it.post(f"/runs/r-1/{path}", body), 409, "conflict")
        assert refused["status_of_run"] == "expired"
        assert it.log.on("signals") == []


async def test_the_id_of_an_expired_run_starts_nothing() -> None:
    async with world() as it:
        it.owners.knows("r-1", status="expired", agent="research")
        refused = await it.post("/runs", {"agent": "research", "input": {"topic": "t"}, "run_id": "r-1"})
        assert problem(refused, 409, "run-expired")["run_id"] == "r-1"
        assert it.log.on("agents.research") == []


async def test_the_result_of_an_expired_run_is_a_409_of_its_own() -> None:
    async with world() as it:
        said = b'{"type":"run-expired","title":"x","status":409,"detail":"the history was deleted","run_id":"r-1"}'
        it.owners.says["scraper", "/owner/runs/r-1/result"] = WorkerResponse(409, said)
        refused = problem(await it.client.get("/runs/r-1/result"), 409, "run-expired")
        assert (refused["detail"], refused["run_id"]) == ("the history was deleted", "r-1")


async def test_the_description_lists_the_status_and_the_problem_of_expired_runs() -> None:
    async with world() as it:
        document = (await it.client.get("/openapi.json")).json()
        paths, schemas = document["paths"], document["components"]["schemas"]
        shown = paths["/runs/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert "expired" in schemas[shown["$ref"].rpartition("/")[2]]["properties"]["status"]["enum"]
        for path, method in (("/runs", "post"), ("/runs/{id}/result", "get")):
            assert "its history was deleted" in paths[path][method]["responses"]["409"]["description"]
