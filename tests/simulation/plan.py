"""What a run consists of, drawn from its seed: processes, work and faults, each of which can be left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

#: Kinds of faults, with how often each is drawn.
KINDS: Final[dict[str, int]] = {
    "kill worker": 6,
    "stop worker": 4,
    "freeze worker": 3,
    "lose disk": 2,
    "tear disk": 2,
    "kill gateway": 2,
    "pause broker": 3,
    "restart broker": 2,
    "break connections": 2,
    "cut broker": 3,
    "lose calls": 4,
    "refuse calls": 2,
    "cut http": 2,
    "lose http": 2,
    "slow http": 2,
    "step clock": 2,
    "suspend machine": 2,
}


@dataclass(frozen=True)
class Fault:
    """One fault: when, what, whom, for how long; `extra` is drawn as well, for details."""

    at: float
    kind: str
    target: int
    seconds: float
    extra: float

    def __str__(self) -> str:
        return f"{self.at:8.3f} s: {self.kind} {self.target} for {self.seconds:.3f} s ({self.extra:.3f})"


@dataclass(frozen=True)
class Order:
    """One thing that the client does: at a time it submits a run, or says an event."""

    at: float
    kind: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at:8.3f} s: {self.kind} {self.name} {self.values}"


@dataclass(frozen=True)
class Plan:
    """All of a run."""

    seed: int
    workers: int
    brokers: int
    partitions: int
    standbys: int
    orders: tuple[Order, ...]
    faults: tuple[Fault, ...]
    stages: tuple[tuple[str, int], ...] = ()  # kill a worker at the n-th time that one reaches a stage of its work
    calm_s: float = 60.0  # without faults at the end: by then everything must be idle and ready
    quiet_s: float = 0.0  # before the end, for which nothing is done, in addition

    @property
    def busy_s(self) -> float:
        """Seconds until the last order and the last fault are over."""
        ends = [order.at for order in self.orders] + [fault.at + fault.seconds for fault in self.faults]
        return max(ends, default=0.0)

    def without(self, **changes: Any) -> Plan:
        """Return a smaller plan."""
        return replace(self, **changes)


STAGES: Final = (
    "begun",
    "produced",
    "offsets sent",
    "committed",
    "stored",
    "restoring",
    "restored",
    "draining",
    "leaving",
)


def drawn(seed: int, *, faulty: bool = True, length_s: float = 40.0) -> Plan:
    """Return the plan of a seed."""
    chance = Random(f"plan {seed}")
    workers = chance.choice((1, 2, 2, 3))
    orders = _orders(chance, length_s)
    faults: list[Fault] = []
    stages: list[tuple[str, int]] = []
    if faulty:
        kinds, weights = list(KINDS), list(KINDS.values())
        allowed = [kind for kind in kinds if chance.random() < 0.5] or kinds
        for _ in range(chance.randint(1, 6)):
            kind = chance.choices(allowed, [weights[kinds.index(one)] for one in allowed])[0]
            seconds = chance.choice((0.3, 1.0, 3.0, 7.0, 12.0, 25.0)) * chance.uniform(0.5, 1.5)
            at = chance.uniform(5.0, length_s)
            faults.append(Fault(at, kind, chance.randrange(8), seconds, chance.random()))
            if chance.random() < 0.4:  # another one beside it
                kind = chance.choice(allowed)
                faults.append(Fault(at + chance.uniform(0, 3), kind, chance.randrange(8), seconds, chance.random()))
        if chance.random() < 0.4:
            stages = [(chance.choice(STAGES), chance.randint(1, 60)) for _ in range(chance.randint(1, 2))]
    return Plan(
        seed=seed,
        workers=workers,
        brokers=chance.choice((1, 1, 3)),
        partitions=chance.choice((1, 2, 4)),
        standbys=chance.choice((0, 0, 1)) if workers > 1 else 0,
        orders=tuple(orders),
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        stages=tuple(stages),
    )


def _orders(chance: Random, length_s: float) -> list[Order]:
    orders: list[Order] = []
    for number in range(chance.randint(5, 30)):
        at = chance.uniform(3.0, length_s)
        kind = chance.choices(("work", "waiter", "parent", "few", "event", "cancel"), (6, 3, 2, 3, 6, 1))[0]
        name = f"{kind}-{number}"
        if kind == "event":
            values: dict[str, Any] = {"amount": chance.randint(1, 9), "start": chance.random() < 0.2}
            name = f"name-{chance.randrange(4)}"
        else:
            values = {"steps": chance.randint(1, 4), "note": chance.random() < 0.3}
            if kind in ("work", "cancel"):
                values["seconds"] = chance.choice((0.0, 0.0, 0.5, 5.0, 20.0))
        orders.append(Order(at, kind, name, values))
    return sorted(orders, key=lambda order: order.at)
