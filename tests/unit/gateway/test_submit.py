"""`POST /runs`: what is written, and every way to be refused."""

from __future__ import annotations

import asyncio

import pytest

from schemas.run import RunSubmitted
from streams.clock import now_ms
from tests.unit.gateway._gateway import Settings, api_key, problem, world

TASK = {"agent": "research", "input": {"topic": "kafka"}}


async def test_a_submission_is_on_the_agents_queue_before_the_202() -> None:
    async with world() as it:
        answer = await it.post(
            "/runs", {**TASK, "run_id": "r-1", "priority": "high", "deadline_s": 5}, traceparent="00-a"
        )
        assert answer.status_code == 202
        assert answer.json() == {"run_id": "r-1", "agent": "research", "status": "queued"}
        assert answer.headers["location"] == "/runs/r-1"
        [record] = it.log.written
        assert (record.topic, record.key, record.traceparent) == ("agents.research", "r-1", "00-a")
        event = record.event
        assert isinstance(event, RunSubmitted)
        assert (event.input, event.priority) == ({"topic": "kafka"}, "high")
        assert event.deadline_ms is not None


async def test_a_delayed_run_carries_its_moment() -> None:
    async with world() as it:
        await it.post("/runs", {**TASK, "not_before": "2026-01-31T13:00:00+01:00"})
        before = now_ms()
        await it.post("/runs", {**TASK, "not_before": 90})
        after = now_ms()
        times = [vars(record.event)["not_before_ms"] for record in it.log.written]
        assert times[0] == 1_769_860_800_000
        assert before + 90_000 <= times[1] <= after + 90_000


async def test_a_run_is_found_right_after_its_202_although_no_worker_has_it_yet() -> None:
    async with world() as it:
        location = (await it.post("/runs", TASK)).headers["location"]
        shown = await it.client.get(location)
        assert shown.status_code == 200
        assert (shown.json()["status"], shown.json()["input"]) == ("queued", {"topic": "kafka"})
        assert (await it.client.get(location + "/result")).status_code == 202
        assert (await it.client.get(location + "/history")).json() == {"entries": []}


async def test_unknown_agent_is_404_and_nothing_is_written() -> None:
    async with world() as it:
        body = problem(await it.post("/runs", {"agent": "nobody", "input": {}}), 404, "unknown-agent")
        assert "GET /agents" in body["detail"]
        meant = problem(await it.post("/runs", {"agent": "reserch", "input": {}}), 404, "unknown-agent")
        assert "did you mean research?" in meant["detail"]
        assert it.log.written == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"topic": 3}, "input.topic"),
        ({}, "input.topic"),
        ({"topic": "x", "depth": "deep"}, "input.depth"),
        (None, "input"),
    ],
)
async def test_an_input_that_does_not_fit_is_422_naming_the_field(given: object, field: str) -> None:
    async with world() as it:
        body = problem(await it.post("/runs", {"agent": "research", "input": given}), 422, "invalid-input")
        assert body["errors"][0]["field"] == field
        assert it.log.written == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"agent": None}, "agent"),
        ({"agent": 3}, "agent"),
        ({"priority": "urgent"}, "priority"),
        ({"run_id": "a/b"}, "run_id"),
        ({"run_id": ""}, "run_id"),
        ({"run_id": 7}, "run_id"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"not_before": -1}, "not_before"),
        ({"not_before": True}, "not_before"),
        ({"not_before": "tomorrow"}, "not_before"),
        ({"not_before": "2026-01-31T12:00:00"}, "not_before"),
        ({"not_before": "9999-01-31T12:00:00Z"}, "not_before"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"deadline_s": True}, "deadline_s"),
        ({"deadline_s": "1"}, "deadline_s"),
        ({"deadline_s": 1e300}, "deadline_s"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_a_wrong_member_is_422_naming_it(change: dict[str, object], field: str) -> None:
    async with world() as it:
        body = problem(await it.post("/runs", {**TASK, **change}), 422, "invalid-request")
        assert body["errors"][0]["field"] == field
        assert it.log.written == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"agent": NaN}', b"[" * 100_000])
async def test_what_is_not_json_is_400(raw: bytes) -> None:
    async with world() as it:
        problem(await it.client.post("/runs", content=raw), 400, "malformed-json")
        assert it.log.written == []


async def test_input_that_nests_deeper_than_can_be_written_is_400() -> None:
    async with world() as it:
        deep = b'{"agent": "research", "input": ' + b"[" * 600 + b"]" * 600 + b"}"
        problem(await it.client.post("/runs", content=deep), 400, "malformed-json")


async def test_no_acknowledgement_is_503_with_the_run_id_to_repeat_with() -> None:
    async with world() as it:
        it.log.down = True
        answer = await it.post("/runs", TASK, idempotency_key="once")
        body = problem(answer, 503, "not-acknowledged")
        assert answer.headers["retry-after"] == "1"
        it.log.down = False
        again = await it.post("/runs", TASK, idempotency_key="once")
        assert again.json()["run_id"] == body["run_id"]
        assert (await it.post("/runs", {**TASK, "run_id": body["run_id"]})).status_code == 202
        assert len(it.log.written) == 1


async def test_the_same_key_again_is_the_same_run_and_one_record() -> None:
    async with world() as it:
        first, again = [await it.post("/runs", TASK, idempotency_key="k") for _ in range(2)]
        assert first.json() == again.json()
        assert first.json()["run_id"].startswith("k-")
        assert len(it.log.written) == 1


async def test_the_same_id_with_another_input_or_agent_is_409() -> None:
    async with world() as it:
        await it.post("/runs", {**TASK, "run_id": "r-1"})
        for other in ({"input": {"topic": "other"}}, {"agent": "scraper"}):
            problem(await it.post("/runs", {**TASK, **other, "run_id": "r-1"}), 409, "run-conflict")
        assert len(it.log.written) == 1


async def test_a_run_that_only_its_owner_knows_is_compared_as_well() -> None:
    async with world() as it:
        it.owners.knows("r-1", input={"topic": "kafka"})
        assert (await it.post("/runs", {**TASK, "run_id": "r-1"})).status_code == 202
        problem(await it.post("/runs", {**TASK, "input": {"topic": "x"}, "run_id": "r-1"}), 409, "run-conflict")
        assert it.log.written == []


async def test_silent_owners_do_not_hinder_a_submission() -> None:
    async with world() as it:
        it.owners.silent = {"default", "scraper"}
        assert (await it.post("/runs", {**TASK, "run_id": "r-1"})).status_code == 202


async def test_two_callers_with_one_idempotency_key_have_two_runs() -> None:
    keys = (api_key("a" * 22, "submit"), api_key("b" * 22, "submit"))
    async with world(Settings(api_keys=keys)) as it:
        answers = [
            await it.post("/runs", TASK, idempotency_key="k", authorization=f"Bearer {letter * 22}") for letter in "ab"
        ]
        assert answers[0].json()["run_id"] != answers[1].json()["run_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
async def test_an_idempotency_key_that_is_none_is_400(key: str) -> None:
    async with world() as it:
        answer = await it.client.post("/runs", json=TASK, headers=[(b"idempotency-key", key.encode())])
        problem(answer, 400, "malformed-request")


async def test_submissions_at_once_do_not_wait_for_each_other() -> None:
    async with world() as it:
        answers = await asyncio.gather(*(it.post("/runs", TASK) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["run_id"] for answer in answers}) == 50
