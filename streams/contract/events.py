"""Events that are published, and deliveries of webhooks."""

from __future__ import annotations

from pydantic import Field, RootModel

from streams.contract.model import ContractModel, OpenModel


class EventAccepted(ContractModel):
    """An event that the broker has acknowledged, with its place on the log."""

    id: str
    topic: str
    partition: int
    offset: int


class EventsAccepted(RootModel[EventAccepted | list[EventAccepted]]):
    """What a request published: one event, or a list for a batch."""


class DeliveryAccepted(ContractModel):
    """A delivery that is on the log, with the ids of what it became."""

    id: str
    events: list[str]
    runs: list[str]
    duplicate: bool = Field(default=False, description="true: it was delivered before, and nothing new was written")
    dead_letter: str | None = Field(None, description="the dead letter of a delivery on which its source failed")


class HandshakeReply(OpenModel):
    """What a source answers to a sender that verifies the endpoint."""

    challenge: str | None = None
