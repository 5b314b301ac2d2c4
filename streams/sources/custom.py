"""Your own systems: `event_type` and `data`, or `agent` and `input`, by API key or Standard Webhooks signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams import Delivery, Reject, source, standard_webhooks
from streams.define.names import NamedEvent, NamedRun
from streams.define.sources import json_body


@dataclass(frozen=True, slots=True)
class KeyOrSignature:
    """A signature, for which the gateway also takes an API key with scope `submit`."""

    accepts_key: bool = True

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """The headers of a signature."""
        return standard_webhooks().needs

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Return whether one of the secrets made the signature."""
        return standard_webhooks().check(headers, body, secrets, now_s)


def delivery_id(delivery: Delivery) -> str:
    """Return what makes a delivery the same again: the signed id, an idempotency key, or the body's `id`."""
    headers = delivery.headers
    if found := headers.get("webhook-id") or headers.get("svix-id") or headers.get("idempotency-key"):
        return found
    body = json_body(delivery)
    found = body.get("id") if isinstance(body, dict) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


@source(verify=KeyOrSignature(), once_per=delivery_id)
def custom(delivery: Delivery) -> list[NamedEvent | NamedRun]:
    """Turn one item, or a list of them, into events and runs; the answer has the ids of both."""
    body = json_body(delivery)
    return [_item(item) for item in (body if isinstance(body, list) else [body])]


def _item(item: Any) -> NamedEvent | NamedRun:
    if isinstance(item, dict):
        event_type, agent = item.get("event_type"), item.get("agent")
        if isinstance(event_type, str) and agent is None:
            key = item.get("key")
            return NamedEvent(event_type, item.get("data"), key if isinstance(key, str) and key else None)
        if isinstance(agent, str) and event_type is None:
            return NamedRun(agent, item.get("input"))
    message = "send event_type and data, or agent and input"
    raise Reject(message)
