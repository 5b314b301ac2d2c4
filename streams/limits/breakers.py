"""The circuit breakers of this worker's tools, and how workers notify each other of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.define.policies import Breaker
from streams.define.tools import Tool
from streams.errors import StreamsError
from streams.limits.circuit import BreakerState, CircuitBreaker
from streams.runtime.errors import WorkerError

if TYPE_CHECKING:
    from schemas.breaker import BreakerSwitched
    from streams.runtime.batch import RecordBatch

log = logging.getLogger(__name__)

OF_HOST: Final = " at "  # between a tool and the host that a breaker is for
_MOST: Final = 2_000  # breakers of hosts in memory: who writes links chooses their hosts
_TRIES: Final = 5
_STEP_S: Final = 0.3  # between attempts to notify one worker; all of them lie within the time that gossip may take


class BreakerOpenError(WorkerError):
    """Raised instead of a call while the tool's circuit breaker is open; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BreakerRegistry:
    """All circuits by tool; a change goes to every live worker at once, and everything to a worker that is new."""

    def __init__(
        self,
        tools: Iterable[Tool[Any]],
        worker: str,
        post: Callable[[str, str, Any], Awaitable[Any]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        *,
        others: Callable[[], list[str]] = list,
        on_switch: Callable[[BreakerState], None] | None = None,
    ) -> None:
        """`post` sends a body to a worker's URL and path; `others` are the URLs of all other workers.

        `on_switch` is called for a breaker that this worker has opened or closed, not for one that stays as it was.
        """
        self._worker = worker
        self._post = post
        self._spawn = spawn
        self.circuits = {tool.name: CircuitBreaker(tool.name, tool.breaker, worker) for tool in tools if tool.breaker}
        self._verdict: dict[str, asyncio.Event] = {}
        self._informed: set[str] = set()
        self._others = others
        self._on_switch = on_switch

    def circuit(self, name: str, breaker: Breaker) -> CircuitBreaker:
        """Return the circuit of a tool, also of one that discovery does not know (a tool used in place)."""
        found = self.circuits.get(name)
        if found is None:
            if OF_HOST in name:
                self._make_room()
            found = self.circuits[name] = CircuitBreaker(name, breaker, self._worker)
        found.breaker = breaker
        return found

    def require_not_forced(self, tool: str) -> None:
        """Raise BreakerOpenError when a person has opened the breaker of a tool, for all hosts."""
        circuit = self.circuits.get(tool)
        if circuit is not None and circuit.word.forced:
            self.check(circuit)

    def _make_room(self) -> None:
        """Forget the oldest breakers of hosts beyond so many: closed ones first, never one whose trial is under way."""
        hosts = [circuit for name, circuit in self.circuits.items() if OF_HOST in name and not circuit.probing]
        if len(hosts) >= _MOST:
            for circuit in sorted(hosts, key=lambda one: one.word.open)[: _MOST // 10]:
                del self.circuits[circuit.name]

    def check(self, circuit: CircuitBreaker) -> None:
        """Raise BreakerOpenError when no call can begin for a while."""
        wait = circuit.wait(clock.steady_ms())
        if wait > 0:
            what = "was opened by hand" if circuit.word.forced else "is open after failures in a row"
            raise BreakerOpenError(f"the circuit breaker of {circuit.name} {what}; try again in {wait:.0f} s", wait)

    async def clear(self, circuit: CircuitBreaker) -> None:
        """Wait for the verdict of a trial call that is under way here; raises as `check`."""
        while circuit.word.open:
            self.check(circuit)
            if not circuit.probing:
                return
            await self._verdict.setdefault(circuit.name, asyncio.Event()).wait()

    def enter(self, circuit: CircuitBreaker) -> bool:
        """Return whether a call may begin now; if not, `clear` is to be asked again."""
        return circuit.enter(clock.steady_ms())

    def ended(self, circuit: CircuitBreaker, *, ok: bool | None) -> None:
        """Count the outcome of a call; None for one that says nothing of the tool."""
        now, before = clock.steady_ms(), circuit.word.open
        word = None
        if ok is None:
            circuit.abandon_trial()
        else:
            word = circuit.succeeded(now) if ok else circuit.failed(now)
        if word is not None:
            self._switch(word, before=before)
        if not circuit.probing:
            self._decided(circuit.name)

    def take(self, _batch: RecordBatch, event: BreakerSwitched) -> None:
        """Open or close a breaker as somebody has asked, by its record on `signals`."""
        self.force(event.tool, open_=event.state == "open")

    def force(self, name: str, *, open_: bool) -> BreakerState | None:
        """Open or close a breaker by hand; None for a tool that has none."""
        circuit = self.circuits.get(name)
        if circuit is None:
            return None
        before = circuit.word.open
        word = circuit.force(clock.steady_ms(), open_=open_)
        self._switch(word, before=before)
        self._decided(name)
        return word

    def apply_state(self, words: list[dict[str, Any]]) -> None:
        """Take in what another worker says."""
        for fields in words:
            word = BreakerState(**fields)
            circuit = self.circuits.get(word.name) or self.circuit(word.name, Breaker(cooldown=word.cooldown))
            if circuit.apply_state(word):
                log.info("circuit breaker of %s: %s, says %s", word.name, circuit.state(clock.steady_ms()), word.worker)
                self._decided(word.name)

    def news(self) -> None:
        """Send the states of all breakers to workers that are new."""
        live = set(self._others())
        words = [circuit.word.to_json() for circuit in self.circuits.values() if circuit.word.number]
        for url in sorted(live - self._informed):
            if words:
                self._spawn(self._send_states(url, words))
        self._informed = live

    def shown(self) -> list[dict[str, Any]]:
        """Return every breaker for people to read."""
        now = clock.steady_ms()
        return [
            {
                "tool": name,
                "state": circuit.state(now),
                "since": clock.iso(circuit.word.since_ms) if circuit.word.number else None,
                "said_by": circuit.word.worker or None,
                "forced": circuit.word.forced,
                "retry_after": round(circuit.wait(now), 3),
            }
            for name, circuit in sorted(self.circuits.items())
        ]

    def _switch(self, word: BreakerState, *, before: bool) -> None:
        log.warning("circuit breaker of %s is %s", word.name, "open" if word.open else "closed")
        if word.open is not before and self._on_switch is not None:
            self._on_switch(word)
        for url in self._others():
            self._spawn(self._send_states(url, [word.to_json()]))

    def _decided(self, name: str) -> None:
        if (event := self._verdict.pop(name, None)) is not None:
            event.set()

    async def _send_states(self, url: str, words: list[dict[str, Any]]) -> None:
        for _ in range(_TRIES):
            try:
                await self._post(url, "/owner/gossip", {"words": words})
            except StreamsError as error:
                log.debug("%s did not take the state of a breaker: %s", url, error)
                await asyncio.sleep(_STEP_S)  # the other end may be starting
            else:
                return
        self._informed.discard(url)  # it gets all states when it comes back
