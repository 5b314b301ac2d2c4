"""Every error has one shape, also those that no handler raises; probes and the document say what is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from docs.generate.http import served
from schemas.errors import UnencodableError
from streams.errors import StreamsError
from streams.gateway.endpoint import Guard
from streams.gateway.openapi import problem_types
from streams.gateway.problem import BUSY
from tests.unit.gateway._gateway import URL, Settings, problem, world
from topics.errors import BrokerUnavailableError, EventTooLargeError, TopicError

EVENT = {"type": "new_data_arrived", "data": {"source": "feed"}}


async def test_an_unknown_path_is_404_and_an_unknown_method_405() -> None:
    async with world() as it:
        problem(await it.client.get("/nothing/here"), 404, "not-found")
        answer = await it.client.delete("/runs")
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, HEAD, POST"
        problem(await it.client.get("/events"), 405, "method-not-allowed")


async def test_an_unexpected_error_is_500_without_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as it:
        it.log.error = ZeroDivisionError("secret detail")
        answer = await it.post("/events", EVENT)
        problem(answer, 500, "internal")
        assert "secret" not in answer.text
        assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (UnencodableError("number is over 64 bits"), 422, "invalid-event"),
        (EventTooLargeError("events: refused"), 413, "too-large"),
        (TopicError("topic events does not exist"), 503, "not-acknowledged"),
    ],
)
async def test_what_the_log_refuses_is_a_clear_problem(error: Exception, status: int, kind: str) -> None:
    async with world() as it:
        it.log.error = error
        problem(await it.post("/events", EVENT), status, kind)
        problem(await it.deliver({"zen": "x"}, "ping"), status, kind)


async def test_too_many_changes_under_way_are_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guard.__init__, "__defaults__", (0,))
    async with world() as it:
        answer = await it.post("/events", EVENT)
        problem(answer, 429, "busy")
        assert answer.headers["retry-after"] == "1"
        assert (await it.client.get("/agents")).status_code == 200


async def test_head_is_get_and_people_pages_are_there() -> None:
    async with world() as it:
        assert (await it.client.head("/agents")).status_code == 200
        agents = (await it.client.get("/agents")).json()["agents"]
        assert [item["name"] for item in agents] == ["research", "scraper"]
        assert "topic" in agents[0]["input"]["properties"]
        for name in ("tools", "schedules", "workers"):
            assert name in (await it.client.get(f"/{name}")).json()


async def test_readiness_names_what_is_not_ready() -> None:
    async def well() -> str | None:
        return None

    async def ill() -> str | None:
        return "no broker answers"

    async with world(checks={"broker": ill, "model": well}) as it:
        answer = await it.client.get("/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["checks"] == {"broker": "no broker answers", "model": "ok"}
        assert (await it.client.get("/healthz")).status_code == 200
    async with world(checks={"model": well}) as it:
        assert (await it.client.get("/readyz")).status_code == 200


async def test_metrics_count_answers_by_route() -> None:
    async with world() as it:
        await it.post("/events", EVENT)
        await it.client.get("/runs/some-id")
        text = (await it.client.get("/metrics")).text
        assert 'streams_gateway_requests_total{method="POST",route="/events",status="202"} 1.0' in text
        assert 'route="/runs/{id}",status="404"} 1.0' in text
        assert "some-id" not in text


class FakeHistory:
    error: Exception | None = None

    def topics(self) -> list[dict[str, Any]]:
        if self.error:
            raise self.error
        return [{"name": "events", "partitions": 4}, {"name": "dead-letters", "partitions": 4}]

    def page(self, topic: str, **asked: Any) -> Iterable[dict[str, Any]]:
        yield {
            "topic": topic,
            "time": "t",
            "partition": 0,
            "offset": 0,
            "data": {"fingerprint": "f", "traceback": "x"},
            **asked,
        }


async def test_topics_are_paged_and_bounded() -> None:
    history = FakeHistory()
    async with world(history=history) as it:
        [shown] = (await it.client.get("/topics/events/events?from=5&to=9&key=k&type=t&limit=2")).json()["events"]
        asked = {name: shown[name] for name in ("start", "end", "key", "event_type", "limit")}
        assert asked == {"start": "5", "end": "9", "key": "k", "event_type": "t", "limit": 2}
        problem(await it.client.get("/topics/secret/events"), 404, "unknown-topic")
        for error in (BrokerUnavailableError("gone"), TopicError("gone")):
            history.error = error
            problem(await it.client.get("/topics"), 503, "log-unavailable")


async def test_without_a_log_topics_are_503() -> None:
    async with world() as it:
        problem(await it.client.get("/topics"), 503, "log-unavailable")
        problem(await it.client.get("/dead-letters"), 503, "log-unavailable")


def test_a_problem_is_an_error_with_a_stable_type() -> None:
    assert isinstance(BUSY("x"), StreamsError)
    kinds = problem_types(served())
    assert all(re.fullmatch(r"[a-z-]+", kind.name) and 400 <= kind.status <= 599 for kind in kinds)
    assert len({kind.name for kind in kinds}) == len(kinds)


async def test_the_document_has_every_route_and_only_problems_that_exist() -> None:
    async with world(Settings(advertised_url=URL)) as it:
        document = (await it.client.get("/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        served = {re.sub(r":\w+}", "}", route.path) for route in it.app.routes}  # type: ignore[attr-defined]
        assert set(document["paths"]) == served
        operations = [operation for path in document["paths"].values() for operation in path.values()]
        assert len({operation["operationId"] for operation in operations}) == len(operations)
        for path, methods in document["paths"].items():
            for operation in methods.values():
                named = {part["name"] for part in operation.get("parameters", []) if part["in"] == "path"}
                assert named == set(re.findall(r"{(\w+)}", path))
                assert set(operation) <= {
                    "operationId",
                    "summary",
                    "tags",
                    "responses",
                    "parameters",
                    "requestBody",
                    "security",
                }
                assert "500" in operation["responses"]
                for status, response in operation["responses"].items():
                    assert re.fullmatch(r"[2-5]\d\d", status)
                    assert response["description"]
                    assert response["content"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/runs", {"agent": "nobody", "input": 1}), ("/events", {"type": "x"}), ("/runs/r/fork", {"at": 1})],
)
async def test_answers_of_errors_are_documented(path: str, body: Any) -> None:
    async with world() as it:
        document = (await it.client.get("/openapi.json")).json()
        answer: httpx.Response = await it.post(path, body)
        template = path.replace("/r/", "/{id}/")
        assert str(answer.status_code) in document["paths"][template]["post"]["responses"]
