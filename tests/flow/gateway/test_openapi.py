"""What the OpenAPI document says is what is answered: no 5xx and no undocumented answer, whatever is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event as Stop
from typing import Any

import orjson
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from streams.gateway.app import build
from streams.gateway.deps import Deps
from streams.query.wire import WorkerResponse
from tests.unit.gateway._book import FakeBook
from tests.unit.gateway._gateway import FakeLog, FakeOwners, Settings, catalog
from topics.catalogue import catalogue
from topics.names import Names

EXAMPLES = 25
"""For each operation; derived from its name, so that every run asks the same."""

WANTED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


class SmallHistory:
    """Two topics, and a page of one record; a stream of it ends at once."""

    def topics(self) -> list[dict[str, Any]]:
        return [
            {
                "name": topic.name,
                "description": topic.description,
                "kind": topic.kind,
                "key": topic.key,
                "cleanup": topic.cleanup,
                "retention_ms": topic.retention_ms,
                "partitions": 2,
                "events": list(topic.events),
            }
            for topic in catalogue()
        ]

    def page(self, topic: str, **_: Any) -> list[dict[str, Any]]:
        record = {"topic": topic, "partition": 0, "offset": 0, "time": None, "key": None}
        return [{**record, "id": "1", "type": "x", "source": "/x", "data": {}}]

    def start(self, topic: str, where: str | Mapping[int, int]) -> dict[int, int]:
        return {0: 0}

    def between(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int], *, key: str | None, limit: int
    ) -> Iterator[dict[str, Any]]:
        return iter(self.page(topic)[:0])

    def follow(self, topic: str, start: Mapping[int, int], *, stop: Stop) -> Iterator[dict[str, Any]]:
        yield from self.page(topic)


class NoChanges:
    """No run's journal ever grows."""

    @contextmanager
    def watch(self, pool: str, run_id: str) -> Iterator[asyncio.Event]:
        yield asyncio.Event()


def _app() -> Any:
    owners, book = FakeOwners(), FakeBook()
    for pool in owners.pools():
        owners.parts[pool] = [{"runs": [], "rows": [], "agents": [], "budgets": [], "breakers": [], "next": None}]
    owners.knows("0", status="failed")
    owners.says["default", "/owner/runs/0/history"] = WorkerResponse(200, orjson.dumps({"entries": []}))
    book.add("d1")
    log = FakeLog()
    return build(Deps(Settings(), catalog(), log, owners, Names(), SmallHistory(), NoChanges(), book))


api = schemathesis.openapi.from_asgi("/openapi.json", _app(), headers={"host": "127.0.0.1:8000"})


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented_and_none_is_a_failure(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(checks=WANTED, headers={"host": "127.0.0.1:8000"})
