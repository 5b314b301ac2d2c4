"""The homes of limits in one worker: made with each assignment, gone with it, asked over HTTP or directly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from streams.limits.rate_limit_home import RateLimitHome
from streams.limits.semaphore_home import SemaphoreHome
from streams.limits.shared_answers import SharedAnswerHome
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from streams.runtime.errors import DeadAssignmentError

if TYPE_CHECKING:
    from streams.limits.peers import Peers
    from streams.limits.semaphore_client import Semaphore
    from streams.limits.semaphore_home import Held
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.runtime import Runtime

_AWAY = {"away": True}


class _PartitionHomes:
    """What one assignment is the home of."""

    def __init__(self, grants: RateLimitHome, semaphores: SemaphoreHome, answers: SharedAnswerHome) -> None:
        self.grants = grants
        self.semaphores = semaphores
        self.answers = answers

    def close(self) -> None:
        """Keep nobody waiting for an assignment that is dead."""
        self.semaphores.live = False
        self.answers.close()


class LimitHomes:
    """All homes of this worker."""

    def __init__(
        self,
        runtime: Runtime,
        peers: Peers,
        pool: str,
        own: Held,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        call: Callable[[str, list[str]], Coroutine[Any, Any, bool]],
    ) -> None:
        """`own` returns what this worker holds itself; `call` notifies a worker that it is next, if it answers."""
        self._runtime = runtime
        self._peers = peers
        self._pool = pool
        self._own = own
        self._spawn = spawn
        self._call = call
        self._homes: dict[PartitionAssignment, _PartitionHomes] = {}

    def ready(self, owned: PartitionAssignment) -> None:
        """Become the home of what a restored assignment is the home of."""
        committer = self._runtime.committer
        home = _PartitionHomes(
            RateLimitHome(owned, committer),
            SemaphoreHome(self._peers, self._own, self._spawn, self._call),
            SharedAnswerHome(owned, committer),
        )
        self._homes[owned] = home
        owned.on_death.append(lambda: self._gone(owned))

    async def grants(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer all asks of a worker for grants; those for limits that live elsewhere are `away`."""
        by_assignment: dict[PartitionAssignment, list[dict[str, Any]]] = {}
        answers: list[dict[str, Any]] = []
        for ask in body["asks"]:
            owned = self._peers.here(self._pool, str(ask["limit"]))
            if owned is None or owned not in self._homes:
                answers.append({"limit": ask["limit"], **_AWAY})
            else:
                by_assignment.setdefault(owned, []).append(ask)
        for owned, asks in by_assignment.items():
            try:
                await self._sure(owned)
                answers += await self._homes[owned].grants.answer(str(body["worker"]), asks)
            except (DeadAssignmentError, KeyError):
                answers += [{"limit": ask["limit"], **_AWAY} for ask in asks]
        return answers

    async def semaphores(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer what a worker holds and wants of one limit."""
        home = await self._home(str(body["limit"]))
        return dict(_AWAY) if home is None else await home.semaphores.answer(body)

    def permits_now(self, semaphore: Semaphore, worker: str, held: int, ranks: list[int]) -> int | None:
        """Answer this worker itself without a turn of the loop; None where that cannot be done."""
        owned = self._peers.here(semaphore.pool, semaphore.name)
        home = None if owned is None else self._homes.get(owned)
        if home is None or not self._runtime.committer.proven():
            return None
        return home.semaphores.now(semaphore.name, worker, semaphore.size, held, ranks)

    async def shared(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a question for a shared answer, or take it in."""
        home = await self._home(call)
        if home is None:
            return dict(_AWAY)
        try:
            if body["do"] == "ask":
                run_id = str(body.get("run_id", ""))
                return await home.answers.ask(call, str(body["holder"]), float(body["seconds"]), run_id)
            if body["do"] == "put":
                return await home.answers.put(call, body["value"], float(body["ttl"]), str(body.get("holder", "")))
            return home.answers.fail(call, str(body["holder"]))
        except DeadAssignmentError:
            return dict(_AWAY)

    def holders(self) -> set[str]:
        """Return the processes that hold a place or a lease, or wait for a place."""
        return set().union(*(home.semaphores.holders() | home.answers.holders() for home in self._homes.values()))

    def left(self, holder: str) -> None:
        """Release what a process held that is gone. Grants of rates stay: what it has called, it has called."""
        for home in self._homes.values():
            home.semaphores.left(holder)
            home.answers.left(holder)

    async def _home(self, limit: str) -> _PartitionHomes | None:
        owned = self._peers.here(self._pool, limit)
        if owned is None:
            return None
        try:
            await self._sure(owned)
        except DeadAssignmentError:
            return None
        return self._homes.get(owned)

    async def _sure(self, owned: PartitionAssignment) -> None:
        """Be sure that the partition is still ours: somebody else may give the same grants otherwise."""
        if not self._runtime.committer.proven():
            await committed(self._runtime.committer, CommitUnit(owned))

    def _gone(self, owned: PartitionAssignment) -> None:
        home = self._homes.pop(owned, None)
        if home is not None:
            home.close()
