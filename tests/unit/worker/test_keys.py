"""Keys of what runs, reactions and schedules write, and the route by which a worker is asked for a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.slack import SlackEvent, slack_event
from streams.engine.starts import outputs_of
from streams.journal.record_writer import RecordWriter
from streams.serving.routes import register
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names


def keyless() -> list[Event]:
    kind: type[SlackEvent] = slack_event("slack.message")
    return [kind(channel="", team="T", user="U", text="hi", payload={})]


def test_an_event_without_a_key_has_its_id_for_one_so_that_its_row_is_found(tmp_path: Path) -> None:
    writer = RecordWriter(Names(), Codec(FileRegistry()), events(), "default")
    unit = batch_of(owned_assignment(tmp_path), 1, 2, "t.signals")
    for output in outputs_of("event-1", "hear", keyless(), 0):
        writer.send(unit, output)
    assert [key for _, _, key, _, _ in unit.outs] == [b"event-1/hear/0"]


@pytest.mark.parametrize("key", ["a\nb", "a\n", "/", "a/b", "\r\n"])
def test_a_worker_is_asked_for_keys_of_any_characters(key: str) -> None:
    async def shown(request: Request) -> Response:
        return PlainTextResponse(request.path_params["key"])

    register()
    client = TestClient(Starlette(routes=[Route("/owner/tables/{name}/{key:text}", shown)]))
    encoded = "".join(f"%{byte:02X}" for byte in key.encode())
    assert client.get(f"/owner/tables/counts/{encoded}").text == key
