"""What a key with scope `submit` cannot write: events of the pipeline, of verified webhooks, and under its sources."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.gateway.access import Caller
from streams.settings import ApiKey
from streams.tools._sinks import escaped
from tests.unit.gateway._gateway import Settings, api_key, problem, world

KEYS = Settings(api_keys=(api_key("s" * 20, "submit"), api_key("a" * 20, "admin")))
SUBMIT, ADMIN = {"authorization": f"Bearer {'s' * 20}"}, {"authorization": f"Bearer {'a' * 20}"}
ALERT = {"alert": "a", "summary": "<!channel> pay here", "detail": "d", "at_ms": 1}
ISSUE = {"repository": "o/r", "number": 1, "title": "x"}
FORGED: dict[str, Any] = {
    "alert.raised": ALERT,
    "github.issues.opened": ISSUE,
    "github.star.created": {"repository": "o/r", "payload": {}},
    "slack.message": {"channel": "C", "payload": {}},
    "run.succeeded": {"run_id": "r", "agent": "research", "result": 1},
}


@pytest.mark.parametrize("event_type", FORGED)
async def test_internal_types_need_the_scope_admin(event_type: str) -> None:
    body = {"type": event_type, "data": FORGED[event_type]}
    async with world(KEYS) as it:
        problem(await it.client.post("/events", json=body, headers=SUBMIT), 403, "forbidden")
        cloud = {**body, "specversion": "1.0", "id": "1", "source": "/mine"}
        headers = {**SUBMIT, "content-type": "application/cloudevents-batch+json"}
        good = {**cloud, "type": "new_data_arrived", "data": {"source": "s"}}
        problem(await it.client.post("/events", content=orjson.dumps([good, cloud]), headers=headers), 403, "forbidden")
        item = {"event_type": event_type, "data": FORGED[event_type]}
        problem(await it.client.post("/webhooks/custom", json=item, headers=SUBMIT), 403, "forbidden")
        assert it.log.written == []
        if event_type.startswith(("alert", "github.issues")):
            assert (await it.client.post("/events", json=body, headers=ADMIN)).status_code == 202


@pytest.mark.parametrize("who", [SUBMIT, ADMIN], ids=["submit", "admin"])
@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("/streams/workers/default", 422),
        ("/streams", 422),
        ("/streams/alarms?x", 422),
        ("/webhooks/github", 422),
        ("/gateway", 422),
        ("/streams-of-mine", 202),
        ("https://shop/streams/x", 202),
        ("/shop", 202),
    ],
)
async def test_sources_of_the_pipeline_are_reserved(source: str, status: int, who: dict[str, str]) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": source, "type": "new_data_arrived", "data": {"source": "s"}}
    headers = {**who, "content-type": "application/cloudevents+json"}
    async with world(KEYS) as it:
        answer = await it.client.post("/events", content=orjson.dumps(cloud), headers=headers)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert answer.json()["errors"][0]["field"] == "source"
            assert it.log.written == []


SHOP = ApiKey.model_validate({"key": "t" * 20, "scopes": {"submit"}, "types": ["shop.*", "new_data_arrived"]})
MUTE = ApiKey.model_validate({"key": "m" * 20, "scopes": {"submit", "admin"}, "types": []})


def by(key: ApiKey) -> dict[str, str]:
    return {"authorization": f"Bearer {key.key.get_secret_value()}"}


def test_types_of_a_key_are_names_and_what_is_below_one() -> None:
    caller = Caller("x", frozenset(), ("shop.*", "ticket"))
    assert all(map(caller.may_publish, ("shop.order", "shop.order.paid", "ticket")))
    assert not any(map(caller.may_publish, ("shop", "shopping.list", "ticket.closed", "tickets", "")))
    assert Caller("x", frozenset(), ("*",)).may_publish("shop")
    assert Caller("x", frozenset()).may_publish("shop")


async def test_a_key_with_types_publishes_no_others() -> None:
    opened = {"type": "help.opened", "data": {"ticket": "1"}}
    arrived = {"type": "new_data_arrived", "data": {"source": "s"}}
    async with world(Settings(api_keys=(SHOP, MUTE))) as it:
        for event in (opened, arrived):
            status = 202 if event is arrived else 403
            assert (await it.client.post("/events", json=event, headers=by(SHOP))).status_code == status
            item = {"event_type": event["type"], "data": event["data"]}
            assert (await it.client.post("/webhooks/custom", json=item, headers=by(SHOP))).status_code == status
            problem(await it.client.post("/events", json=event, headers=by(MUTE)), 403, "forbidden")
        written = len(it.log.written)
        headers = {**by(SHOP), "content-type": "application/cloudevents-batch+json"}
        batch = [{**event, "specversion": "1.0", "id": "1", "source": "/shop"} for event in (arrived, opened)]
        said = problem(await it.client.post("/events", content=orjson.dumps(batch), headers=headers), 403, "forbidden")
        assert "shop.*, new_data_arrived" in said["detail"]
        problem(
            await it.client.post("/events", json={"type": "alert.raised", "data": ALERT}, headers=by(SHOP)),
            403,
            "forbidden",
        )
        assert len(it.log.written) == written


def test_slack_shows_an_alert_as_it_is() -> None:
    assert escaped("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"
