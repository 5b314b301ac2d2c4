"""Puts the limits of a worker together: what it asks for, and what it is asked as a home."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from streams.limits.breakers import BreakerRegistry
from streams.limits.holders import HolderWatch
from streams.limits.limit_homes import LimitHomes
from streams.limits.limit_sweep import LimitSweep
from streams.limits.peers import HomeAwayError
from streams.limits.rate_limit_client import RateLimitClient
from streams.limits.semaphore_client import SemaphoreClient
from streams.limits.single_flight import SingleFlight
from streams.limits.tool_limiter import HOME, ToolLimiter
from streams.metrics import BREAKER_STATE, LIMIT_WAITING, PERMITS_HELD, PERMITS_WANTED, SHARED_FOUND, SHARED_MADE
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from topics.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from streams.define.tools import Tool
    from streams.limits.circuit import BreakerState
    from streams.limits.holders import HolderHome, Members
    from streams.limits.peers import Peers
    from streams.limits.semaphore_client import Semaphore
    from streams.runtime.runtime import Runtime
    from topics.kafka import KafkaConfig

_GRANTS_S: Final = 4.0
_PLACES_S: Final = 10.0  # a new home first asks everybody
_SHARED_S: Final = 30.0  # a question may wait at its home for somebody else's answer
_GOSSIP_S: Final = 1.0
_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}


class WorkerLimits:
    """All limits of one worker."""

    def __init__(
        self,
        runtime: Runtime,
        peers: Peers,
        tools: Iterable[Tool[Any]],
        on_switch: Callable[[BreakerState], None] | None = None,
    ) -> None:
        """Assemble the limits of the process that `peers` represents; nobody is asked before `begin`.

        `on_switch` is called for each circuit breaker that this worker opens or closes.
        """
        self._runtime = runtime
        self.peers = peers
        holder = peers.holder
        spawn, worker_id = runtime.tasks.spawn, holder.worker_id
        self.rate_limits = RateLimitClient(peers.place, self._send_asks, spawn, worker_id)
        self.semaphores = SemaphoreClient(peers.place, self._send_word, spawn, str(holder), now=self._permits_now)
        self.shared_calls = SingleFlight(self._send_question, spawn, str(holder), self._prove)
        self.breakers = BreakerRegistry(
            tools, worker_id, self._send_gossip, spawn, others=peers.others, on_switch=on_switch
        )
        self.guard = ToolLimiter(self.rate_limits, self.semaphores, self.shared_calls, self.breakers, self._prove)
        self.homes = LimitHomes(runtime, peers, holder.pool, self.semaphores.held, spawn, self._call)
        self._sweep = LimitSweep(runtime)

    def begin(
        self, kafka: KafkaConfig, topic: str, url: str, members: Members, homes: Sequence[HolderHome] = ()
    ) -> None:
        """Follow the workers' heartbeats in `topic`; others reach this worker at `url`.

        What a worker holds here, and in `homes`, ends with it: `members` returns the client ids in a pool's group.
        """
        self.semaphores.begin(url.rstrip("/"))
        self.peers.begin(kafka, topic, url, (self.rate_limits.news, self.breakers.news))
        self._runtime.tasks.spawn(self._sweep.run())
        watch = HolderWatch(self.peers.holder, self.peers.presence, members, (self.homes, *homes))
        self._runtime.tasks.spawn(watch.run())

    async def end(self) -> None:
        """Ask nobody any more."""
        await self.peers.end()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of all limits."""
        figures = sorted(self.semaphores.figures().items())
        yield LIMIT_WAITING.family(((name,), count) for name, count in self.rate_limits.waiting().items())
        yield PERMITS_HELD.family(((name,), held) for name, (held, _) in figures)
        yield PERMITS_WANTED.family(((name,), wanted) for name, (_, wanted) in figures)
        yield BREAKER_STATE.family(((one["tool"],), _STATES[one["state"]]) for one in self.breakers.shown())
        yield SHARED_FOUND.family([((), self.shared_calls.hits)])
        yield SHARED_MADE.family([((), self.shared_calls.misses)])

    # -- what goes out, or stays in this process

    def _permits_now(self, semaphore: Semaphore, worker: str, held: int, ranks: list[int]) -> int | None:
        return self.homes.permits_now(semaphore, worker, held, ranks)

    async def _send_asks(self, url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        if url == self.peers.url:
            return await self.homes.grants(body)
        answers: list[dict[str, Any]] = await self.peers.post(url, "/owner/grants", body, _GRANTS_S)
        return answers

    async def _send_word(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        if url == self.peers.url:
            return await self.homes.semaphores(body)
        answer: dict[str, Any] = await self.peers.post(url, "/owner/places", body, _PLACES_S)
        return answer

    async def _send_question(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        url = self.peers.place(HOME, call)
        if url is None:
            raise HomeAwayError("no worker owns this answer at the moment")
        if url == self.peers.url:
            return await self.homes.shared(call, body)
        answer: dict[str, Any] = await self.peers.post(url, f"/owner/answers/{call}", body, _SHARED_S)
        return answer

    async def ask_home(
        self, pool: str, scope: str, body: dict[str, Any], here: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return what the home of a budget says; `here` answers where it is this worker."""
        body = {**body, "holder": str(self.peers.holder)}
        url = self.peers.place(pool, scope)
        if url is None:
            raise HomeAwayError("no worker keeps this budget at the moment")
        if url == self.peers.url:
            return await here(body)
        answer: dict[str, Any] = await self.peers.post(url, "/owner/budgets", body, _GRANTS_S)
        return answer

    async def _send_gossip(self, url: str, path: str, body: Any) -> Any:
        return await self.peers.post(url, path, body, _GOSSIP_S)

    async def _call(self, url: str, limits: list[str]) -> bool:
        """Call a worker that is next for a permit; return whether it has answered."""
        if url == self.peers.url:
            self.semaphores.called(limits)
            return True
        try:
            await self.peers.post(url, "/owner/called", {"limits": limits}, _GOSSIP_S)
        except HomeAwayError:
            return False
        return True

    async def _prove(self, run_id: str) -> None:
        """Wait until we are sure to own a run's partition: its call may have waited for long."""
        committer = self._runtime.committer
        if committer.proven():
            return
        owned = self._runtime.assignments.get(partition_of(run_id.encode(), self._runtime.partitions))
        if owned is None:
            raise HomeAwayError(f"run {run_id} goes on at another worker")
        await committed(committer, CommitUnit(owned))
