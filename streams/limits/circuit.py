"""The states of one circuit breaker that all workers share: closed, open, half-open; pure, without a clock.

A state is a numbered word. A worker that changes it takes the next number; of two words with one number that of the
higher worker wins, so that all come to the same, in whatever order these arrive. Failures in a row are counted by
each worker for itself. After the cooldown the worker that opened the breaker tries one call; the others wait a little
longer for its verdict and then try themselves, since it may have no call to make, or be dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from streams.define.policies import Breaker

GOSSIP_S: Final = 2.0  # a word reaches every worker within that time
State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True, order=True)
class BreakerState:
    """The last state of a breaker; `since_ms` and `cooldown` in milliseconds and seconds. `forced`: by a person."""

    number: int
    worker: str
    name: str
    open: bool
    since_ms: int
    cooldown: float
    forced: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as it travels."""
        return {name: getattr(self, name) for name in self.__slots__}


class CircuitBreaker:
    """One breaker as one worker sees it; times are milliseconds since the epoch."""

    __slots__ = ("_failures", "_probing", "_worker", "breaker", "name", "word")

    def __init__(self, name: str, breaker: Breaker, worker: str) -> None:
        """Begin closed."""
        self.name = name
        self.breaker = breaker
        self.word = BreakerState(0, "", name, open=False, since_ms=0, cooldown=breaker.cooldown)
        self._worker = worker
        self._failures = 0
        self._probing = False

    def apply_state(self, word: BreakerState) -> bool:
        """Take a word from somebody; return whether it is newer than ours."""
        if (word.number, word.worker) <= (self.word.number, self.word.worker):
            return False
        self.word = word
        self._failures = 0
        self._probing = False
        return True

    def state(self, now_ms: int) -> State:
        """Return the state as people see it."""
        if not self.word.open:
            return "closed"
        return "half-open" if self.wait(now_ms) <= 0 else "open"

    def wait(self, now_ms: int) -> float:
        """Return the seconds until a call may be tried; one that a person opened stays so for another cooldown."""
        if not self.word.open:
            return 0.0
        if self.word.forced:
            return max(self.word.cooldown, GOSSIP_S)
        passed = max(now_ms - self.word.since_ms, 0) / 1000
        grace = 0.0 if self.word.worker == self._worker else GOSSIP_S
        return max(self.word.cooldown + grace - passed, 0.0)

    @property
    def probing(self) -> bool:
        """Return whether this worker's trial call is under way: its verdict is worth waiting for."""
        return self._probing

    def enter(self, now_ms: int) -> bool:
        """Return whether a call may begin now; in the half-open state the first one that asks is the trial."""
        if not self.word.open:
            return True
        if self._probing or self.wait(now_ms) > 0:
            return False
        self._probing = True
        return True

    def succeeded(self, now_ms: int) -> BreakerState | None:
        """Count a success; return the word to spread when it closed the breaker."""
        self._failures = 0
        if not self._probing:
            return None
        return self._switch(now_ms, open_=False)

    def failed(self, now_ms: int) -> BreakerState | None:
        """Count a failure; return the word to spread when it opened the breaker."""
        self._failures += 1
        if self._probing or (not self.word.open and self._failures >= self.breaker.failures):
            return self._switch(now_ms, open_=True)
        return None

    def abandon_trial(self) -> None:
        """Forget a call that was cancelled: it says nothing of the tool."""
        self._probing = False

    def force(self, now_ms: int, *, open_: bool) -> BreakerState:
        """Open (until it is closed by hand) or close it, as a person wishes."""
        return self._switch(now_ms, open_=open_, forced=open_)

    def _switch(self, now_ms: int, *, open_: bool, forced: bool = False) -> BreakerState:
        self._failures = 0
        self._probing = False
        cooldown = self.breaker.cooldown
        self.word = BreakerState(self.word.number + 1, self._worker, self.name, open_, now_ms, cooldown, forced)
        return self.word
