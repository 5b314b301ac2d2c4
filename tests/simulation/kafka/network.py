"""What lies between a client and a broker: delay, loss and silence, all drawn or ordered by the harness."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

Direction = Literal["requests", "responses"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way; `name` is that of Kafka's API, such as `Produce` or `EndTxn`."""

    process: str
    client: str
    broker: int
    name: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call: seconds for each way, and whether the connection breaks before or after the broker."""

    request_s: float
    response_s: float
    lost: Literal["request", "response"] | None = None
    refusal: int | None = None  # an error code with which the broker answers instead of handling it


class Faults(Protocol):
    """Decides what becomes of each call."""

    def judge(self, call: Call) -> Verdict:
        """Return the fate of a call; asked once a call, in the order in which clients send."""


class Calm:
    """No fault, and a latency between two bounds."""

    def __init__(self, chance: random.Random, least_s: float = 0.0002, most_s: float = 0.0015) -> None:
        """Draw latencies from `chance`."""
        self._chance = chance
        self._bounds = (least_s, most_s)

    def judge(self, call: Call) -> Verdict:
        """Delay both ways a little."""
        return Verdict(self._chance.uniform(*self._bounds), self._chance.uniform(*self._bounds))


@dataclass(slots=True)
class Rule:
    """A fault for the next calls whose API, process and broker match; `times` counts down."""

    name: str = "*"
    process: str = "*"
    broker: int | None = None
    times: int = 1
    request_s: float = 0.0
    response_s: float = 0.0
    lost: Literal["request", "response"] | None = None
    refusal: int | None = None
    skip: int = 0  # matching calls that pass before


class ScriptedFaults:
    """Another judge's verdicts, changed by rules that a test adds."""

    def __init__(self, otherwise: Faults, rules: Iterable[Rule] = ()) -> None:
        """Begin with `rules`; a call that none matches is judged by `otherwise`."""
        self._otherwise = otherwise
        self.rules = list(rules)

    def add(self, rule: Rule) -> None:
        """Add a rule."""
        self.rules.append(rule)

    def judge(self, call: Call) -> Verdict:
        """Apply the first rule that matches."""
        usual = self._otherwise.judge(call)
        for rule in self.rules:
            if not rule.times or not self._matches(rule, call):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            rule.times -= 1
            return Verdict(
                usual.request_s + rule.request_s, usual.response_s + rule.response_s, rule.lost, rule.refusal
            )
        return usual

    @staticmethod
    def _matches(rule: Rule, call: Call) -> bool:
        return (
            fnmatchcase(call.name, rule.name)
            and fnmatchcase(call.process, rule.process)
            and rule.broker in (None, call.broker)
        )


class Network:
    """The links between processes and brokers; one direction of a link may be cut."""

    def __init__(self, faults: Faults) -> None:
        """Begin with all links open."""
        self.faults = faults
        self._cut: set[tuple[str, int, Direction]] = set()
        self._held: dict[tuple[str, int, Direction], deque[Callable[[], None]]] = {}
        self.calls: dict[str, int] = {}  # how many of each API

    def judge(self, call: Call) -> Verdict:
        """Return the fate of a call."""
        self.calls[call.name] = self.calls.get(call.name, 0) + 1
        return self.faults.judge(call)

    def cut(self, process: str, broker: int, *directions: Direction) -> None:
        """Cut a link in the directions given, or in both; what is sent is held until the link is mended."""
        for direction in directions or ("requests", "responses"):
            self._cut.add((process, broker, direction))

    def mend(self, process: str, broker: int) -> None:
        """Open a link again and let through what it held."""
        for direction in ("requests", "responses"):
            self._cut.discard((process, broker, direction))
            for passing in self._held.pop((process, broker, direction), ()):
                passing()

    def is_cut(self, process: str, broker: int, direction: Direction) -> bool:
        """Tell whether nothing gets through."""
        return (process, broker, direction) in self._cut

    def carry(self, process: str, broker: int, direction: Direction, passing: Callable[[], None]) -> None:
        """Let a message through now, or once the link is mended."""
        key = (process, broker, direction)
        if key in self._cut:
            self._held.setdefault(key, deque()).append(passing)
        else:
            passing()
