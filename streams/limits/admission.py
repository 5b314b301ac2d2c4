"""Lets runs begin within the rate and the concurrency of their agent, over all workers of its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from streams import clock
from streams.limits.rate_limit_client import RateLimit, RateLimitClient
from streams.limits.semaphore_client import Ranks, Semaphore, SemaphoreClient

if TYPE_CHECKING:
    from streams.define.agents import Agent


class AdmissionGrant(NamedTuple):
    """What a run begins with: whether it holds a place, and the monotonic second until which it may begin, if any."""

    placed: bool
    deadline: float | None

    def late(self) -> bool:
        """Return whether the grant cannot be used any more."""
        return self.deadline is not None and clock.monotonic() > self.deadline


class AgentAdmission:
    """The limits of agents in one worker; their homes are in the agents' own pool."""

    def __init__(self, rate_limits: RateLimitClient, semaphores: SemaphoreClient) -> None:
        """Wait for `tickets` and `places`."""
        self._rate_limits = rate_limits
        self._semaphores = semaphores

    @staticmethod
    def limited(agent: Agent[Any, Any]) -> bool:
        """Return whether an agent has a limit whose home is here."""
        return agent.rate is not None or agent.concurrency is not None

    def at_once(self, agent: Agent[Any, Any], rank: int) -> AdmissionGrant | None:
        """Return what a run of that rank can begin with now, if that needs nobody else."""
        semaphore = self._semaphore(agent)
        if agent.rate is not None or semaphore is None or not self._semaphores.take_now(semaphore, rank):
            return None
        return AdmissionGrant(placed=True, deadline=None)

    async def admit(self, agent: Agent[Any, Any], ranks: Ranks) -> AdmissionGrant:
        """Wait for a place and then for a grant; a place that is held meanwhile begins nothing else.

        `ranks` are those of the runs that wait here, by which the first one of all workers gets the next place.
        """
        semaphore = self._semaphore(agent)
        if semaphore is not None:
            await self._semaphores.take(semaphore, ranks)
        if agent.rate is None:
            return AdmissionGrant(semaphore is not None, None)
        try:
            deadline = await self._rate_limits.take(RateLimit(agent.pool, f"agent:{agent.name}", agent.rate))
        except BaseException:
            self.free(agent)
            raise
        return AdmissionGrant(semaphore is not None, deadline)

    def reordered(self, agent: Agent[Any, Any]) -> None:
        """Look again which run is first of those that wait."""
        semaphore = self._semaphore(agent)
        if semaphore is not None:
            self._semaphores.reordered(semaphore)

    def force(self, agent: Agent[Any, Any]) -> None:
        """Take a place for a run that goes on: it has begun before, here or elsewhere."""
        semaphore = self._semaphore(agent)
        if semaphore is not None:
            self._semaphores.force(semaphore)

    def free(self, agent: Agent[Any, Any]) -> None:
        """Release a permit."""
        semaphore = self._semaphore(agent)
        if semaphore is not None:
            self._semaphores.free(semaphore)

    def _semaphore(self, agent: Agent[Any, Any]) -> Semaphore | None:
        return None if agent.concurrency is None else Semaphore(agent.pool, f"agent:{agent.name}", agent.concurrency)
