"""Any sender that signs by the Standard Webhooks scheme: `type` and `data` of its body are an event of ours."""

from __future__ import annotations

from streams import Delivery, Reject, source, standard_webhooks
from streams.define.names import NamedEvent
from streams.define.sources import json_body


@source(verify=standard_webhooks(), once_per="webhook-id")
def standard(delivery: Delivery) -> NamedEvent:
    """Turn `{"type", "timestamp", "data"}` into the event of that type."""
    body = json_body(delivery)
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        message = "the body must be an object with type and data"
        raise Reject(message)
    return NamedEvent(body["type"], body.get("data"))
