"""Lets agents adapt when something around them, or a user, is no longer as it was."""

from __future__ import annotations

from schemas.bus import EnvironmentChanged, UserUpdated
from streams import StartRun, on, seconds
from streams.agents.adaptation import Change, adaptation


@on(EnvironmentChanged, debounce=seconds(2), by="subject")
async def environment_changed(event: EnvironmentChanged) -> StartRun:
    """Start an adaptation; of changes in a row the last one counts."""
    return StartRun(adaptation, Change(about=event.subject, before=event.before, after=event.after))


@on(UserUpdated, debounce=seconds(2), by="user_id")
async def user_updated(event: UserUpdated) -> StartRun:
    """Start an adaptation; of updates in a row the last one counts."""
    return StartRun(adaptation, Change(about=f"user {event.user_id}", after=event.changes))
