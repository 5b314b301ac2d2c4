"""What comes of ringing, when it has stopped, and of what cannot be handled."""

from __future__ import annotations

from streams import Reject, on
from tests.apps.clock.events import Answered, Cursed, Rung

QUIET_S = 4.0


@on(Rung, debounce=QUIET_S, by="name")
async def rung(event: Rung) -> Answered:
    """Answer once it was quiet for so long."""
    return Answered(name=event.name)


@on(Cursed)
async def cursed(event: Cursed) -> None:
    """Give up."""
    raise Reject(f"no way with {event.name}")
