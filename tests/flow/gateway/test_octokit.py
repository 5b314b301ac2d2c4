"""Every delivery that GitHub documents, signed and posted: taken, typed, keyed, and once however often it is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.webhook import WebhookReceived
from tests.flow.gateway._octokit import COUNT, Example, examples
from tests.unit.gateway._gateway import signed, world

CODEC = Codec(FileRegistry())


@pytest.fixture(scope="module")
def deliveries() -> list[Example]:
    return examples()


def owner(payload: dict[str, Any]) -> set[str]:
    """Return what the event may be keyed by: the repository, else who installed the hook, else who acted."""
    if "repository" in payload:
        return {payload["repository"]["full_name"]}
    found = {payload.get(part, {}).get("login") for part in ("organization", "sender")}
    if "installation" in payload:
        found |= {
            payload["installation"].get("account", {}).get("login"),
            f"installation/{payload['installation']['id']}",
        }
    return {name for name in found if name}


async def test_all_examples_become_their_events_once(deliveries: list[Example]) -> None:
    assert len(deliveries) == COUNT
    async with world() as it:
        for number, (name, payload) in enumerate(deliveries):
            body = orjson.dumps(payload)
            headers = {
                "x-github-event": name,
                "x-github-delivery": f"d-{number}",
                "x-hub-signature-256": signed(body),
                "content-type": "application/json",
            }
            answers = [await it.client.post("/webhooks/github", content=body, headers=headers) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [202] * 4, (name, answers[0].text)
            said = answers[0].json()
            assert [answer.json() for answer in answers[1:]] == [{**said, "duplicate": True}] * 3
            event, raw = it.log.written[-2:]
            action = payload.get("action")
            assert event.event.event_type == (f"github.{name}.{action}" if action else f"github.{name}")
            assert event.key in (owner(payload) or {event.id}), (name, event.key)
            assert said["events"] == [event.id]
            decoded = CODEC.decode(CODEC.encode(event.event), type(event.event))
            assert decoded == event.event
            kept = CODEC.decode(CODEC.encode(raw.event), WebhookReceived)
            assert (kept.body, kept.delivery_id) == (body, f"d-{number}")
        assert len(it.log.on("events")) == COUNT
        assert len(it.log.on("webhooks.github")) == COUNT
