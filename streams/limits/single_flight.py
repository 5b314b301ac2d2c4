"""Single flight: equal calls of this worker are one question, and their home lets one worker at a time compute."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple

from streams import clock
from streams.errors import StreamsError
from streams.limits.peers import HomeAwayError
from streams.runtime.errors import DeadAssignmentError, WorkerError

log = logging.getLogger(__name__)

PATIENCE_S: Final = 15.0  # longer than a home takes to move; without one for so long, a call is made all the same
AGAIN_S: Final = 0.3

Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]  # the call's hash, the question
Found = tuple[Any]


class SharedCall(NamedTuple):
    """A kind of call: the hash of one, how long its answer is good and how long it may take, in seconds; for a run."""

    call: str
    ttl: float
    timeout: float
    run_id: str = ""


Confirm = Callable[[], Awaitable[Found | None]]
Compute = Callable[[Confirm], Awaitable[tuple[Any, bool]]]
Prove = Callable[[str], Awaitable[None]]


class SingleFlight:
    """All answers that this worker waits for."""

    def __init__(
        self, ask: Ask, spawn: Callable[[Coroutine[Any, Any, None]], object], process: str, prove: Prove
    ) -> None:
        """`ask` puts a question of this `process` to the home of a hash.

        `prove` waits until this worker is sure that it owns the partition of a run, and raises WorkerError if not: a
        worker that was stopped must neither take the lease of its run's new owner nor give an answer that is late.
        """
        self._ask = ask
        self._spawn = spawn
        self._process = process
        self._prove = prove
        self._number = itertools.count(1)
        self._flying: dict[str, asyncio.Future[tuple[Any] | Exception | None]] = {}
        self._undelivered: dict[str, Found] = {}  # answers whose home is on the move
        self.hits = 0
        self.misses = 0

    async def through(self, cached: SharedCall, compute: Compute) -> tuple[Any, bool]:
        """Return the answer and whether it was found; `compute` makes the call, and is given a last look to take."""
        while (future := self._flying.get(cached.call)) is not None:
            outcome = await asyncio.shield(future)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                self.hits += 1
                return outcome[0], True
        if (undelivered := self._undelivered.get(cached.call)) is not None:
            self.hits += 1
            return undelivered[0], True
        future = self._flying[cached.call] = asyncio.get_running_loop().create_future()
        outcome = None
        try:
            value, found = await self._lead(cached, compute)
            outcome = (value,)
        except (DeadAssignmentError, HomeAwayError):
            raise  # this run is another worker's now, which is no answer to the others
        except Exception as error:
            outcome = error
            raise
        finally:
            del self._flying[cached.call]
            future.set_result(outcome)  # None: the leader was cancelled or has lost its run, and the next one leads
        return value, found

    async def _lead(self, cached: SharedCall, compute: Compute) -> tuple[Any, bool]:
        holder = f"{self._process}#{next(self._number)}"
        lease = 2 * cached.timeout
        failed = {"do": "fail", "holder": holder}
        await self._prove(cached.run_id)
        try:
            found = await self._look(cached, holder, lease)
            if found is not None:
                self.hits += 1
                return found[0], True
            self.misses += 1
            since = clock.monotonic()

            async def confirm() -> Found | None:
                """Look again, right before the call, if waiting for it took so long that the lease may not last."""
                if clock.monotonic() - since < cached.timeout:
                    return None
                return await self._look(cached, holder, lease)

            value, recorded = await compute(confirm)
        except BaseException:
            self._spawn(
                self._deliver(cached.call, failed)
            )  # also a question that waits at its home is withdrawn by that
            raise
        if not recorded:
            await self._share(cached, holder, value)
        return value, recorded

    async def _share(self, cached: SharedCall, holder: str, value: Any) -> None:
        """Send an answer to its home; it is sent in the background if the home moves or this task is cancelled."""
        message: dict[str, Any] = {"do": "fail", "holder": holder}
        arrived = False
        try:
            await self._prove(cached.run_id)
            message = {"do": "put", "value": value, "ttl": cached.ttl, "holder": holder}
            arrived = await self._is_delivered(cached.call, message)
        except WorkerError as error:
            log.info("an answer for run %s is not shared, since the run goes on elsewhere: %s", cached.run_id, error)
        finally:
            if not arrived:
                if message["do"] == "put":
                    # Runs of this worker share it meanwhile, also those that have just come here.
                    self._undelivered[cached.call] = (value,)
                self._spawn(self._deliver_later(cached.call, message))

    async def _deliver_later(self, call: str, message: dict[str, Any]) -> None:
        """Send a message to a home that is on the move."""
        try:
            await self._deliver(call, message)
        finally:
            self._undelivered.pop(call, None)

    async def _look(self, cached: SharedCall, holder: str, lease: float) -> Found | None:
        """Return what is found; None when this worker is to compute it, or when there is no home to ask."""
        question = {"do": "ask", "holder": holder, "seconds": lease, "run_id": cached.run_id}
        end = clock.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self._ask(cached.call, question)
            except StreamsError as error:
                log.debug("no home for a shared answer: %s", error)
                answer = {"away": True}
            if answer.get("hit"):
                return (answer["value"],)
            if answer.get("compute"):
                return None
            if answer.get("away"):
                if clock.monotonic() > end:
                    return None
                await asyncio.sleep(AGAIN_S)  # partitions move: there is no event that all of it passes through
            else:
                end = clock.monotonic() + PATIENCE_S

    async def _deliver(self, call: str, what: dict[str, Any]) -> None:
        """Notify the home, also one that moves at the moment."""
        end = clock.monotonic() + PATIENCE_S
        while not await self._is_delivered(call, what):
            if clock.monotonic() > end:
                return
            await asyncio.sleep(AGAIN_S)

    async def _is_delivered(self, call: str, what: dict[str, Any]) -> bool:
        try:
            return not (await self._ask(call, what)).get("away")
        except StreamsError as error:
            log.debug("a shared answer does not reach its home: %s", error)
            return False
