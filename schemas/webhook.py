"""A verified delivery as it came in, kept raw so that its translation can be run again."""

from pydantic import Field

from schemas.event import Event


class WebhookReceived(Event, type="webhook.received", key="delivery_id"):
    """A sender's request whose signature was good; ``delivery_id`` is the sender's own, for dropping repeats."""

    source: str
    delivery_id: str
    headers: dict[str, str] = Field(default_factory=dict)
    body: bytes
