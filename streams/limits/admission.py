"""Lets runs begin within the rate and the concurrency of their agent, over all workers of its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from streams import clock
from streams.limits.rate_limit_client import Limit, Tickets
from streams.limits.semaphore_client import Places, Ranks, Room

if TYPE_CHECKING:
    from streams.define.agents import Agent


class Pass(NamedTuple):
    """What a run begins with: whether it holds a place, and the monotonic second until which it may begin, if any."""

    placed: bool
    deadline: float | None

    def late(self) -> bool:
        """Return whether the grant cannot be used any more."""
        return self.deadline is not None and clock.monotonic() > self.deadline


class Admission:
    """The limits of agents in one worker; their homes are in the agents' own pool."""

    def __init__(self, tickets: Tickets, places: Places) -> None:
        """Wait for `tickets` and `places`."""
        self._tickets = tickets
        self._places = places

    @staticmethod
    def limited(agent: Agent[Any, Any]) -> bool:
        """Return whether an agent has a limit that is kept here."""
        return agent.rate is not None or agent.concurrency is not None

    def at_once(self, agent: Agent[Any, Any], rank: int) -> Pass | None:
        """Return what a run of that rank can begin with now, if that needs nobody else."""
        room = self._room(agent)
        if agent.rate is not None or room is None or not self._places.take_now(room, rank):
            return None
        return Pass(placed=True, deadline=None)

    async def admit(self, agent: Agent[Any, Any], ranks: Ranks) -> Pass:
        """Wait for a place and then for a grant; a place that is held meanwhile begins nothing else.

        `ranks` are those of the runs that wait here, by which the first one of all workers gets the next place.
        """
        room = self._room(agent)
        if room is not None:
            await self._places.take(room, ranks)
        if agent.rate is None:
            return Pass(room is not None, None)
        try:
            deadline = await self._tickets.take(Limit(agent.pool, f"agent:{agent.name}", agent.rate))
        except BaseException:
            self.free(agent)
            raise
        return Pass(room is not None, deadline)

    def reordered(self, agent: Agent[Any, Any]) -> None:
        """Hear that another run may be first now of those that wait."""
        room = self._room(agent)
        if room is not None:
            self._places.reordered(room)

    def force(self, agent: Agent[Any, Any]) -> None:
        """Take a place for a run that goes on: it has begun before, here or elsewhere."""
        room = self._room(agent)
        if room is not None:
            self._places.force(room)

    def free(self, agent: Agent[Any, Any]) -> None:
        """Give a place back."""
        room = self._room(agent)
        if room is not None:
            self._places.free(room)

    def _room(self, agent: Agent[Any, Any]) -> Room | None:
        return None if agent.concurrency is None else Room(agent.pool, f"agent:{agent.name}", agent.concurrency)
