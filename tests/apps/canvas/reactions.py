"""Reactions that wait for more: for quiet, for a number, for a time."""

from __future__ import annotations

from streams import on, seconds
from tests.apps.canvas.events import Clicked, Collected


@on(Clicked, debounce=seconds(1.5), by="customer")
def settled(event: Clicked) -> Collected | None:
    """Say the last click of a customer."""
    if event.kind != "settled":
        return None
    return Collected(customer=event.customer, kind="settled", numbers=[event.number])


@on(Clicked, batch=5, within=seconds(2), by="customer")
async def collected(events: list[Clicked]) -> Collected | None:
    """Say what came together."""
    if events[0].kind != "collected":
        return None
    return Collected(customer=events[0].customer, kind="collected", numbers=[event.number for event in events])
