"""How each agent is doing: counted as its runs change, never by looking through them.

A run's partition counts it, so each partition has its own part of an agent's row; who asks gets the parts merged. The
times that runs took are a DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019): counts in bins whose width grows with the
value, so that any percentile is right within 2 % and parts merge without loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore
from pydantic import BaseModel, ConfigDict, computed_field

from schemas.run import ENDED
from streams import table

ACCURACY: Final = 0.02
QUANTILES: Final = (50, 90, 95, 99)
LIVE: Final = ("queued", "running", "waiting")
_MAPPING: Final = LogarithmicMapping(ACCURACY)


@dataclass(frozen=True, slots=True)
class RunsMoved:
    """What one transaction changed for an agent's runs in a partition.

    `moves` are statuses before (None: the run is new) and after; `took_ms` the times from submission to end of those
    that ended, in milliseconds.
    """

    event_type: ClassVar[str] = "runs.moved"
    of_runs: ClassVar[bool] = True

    agent: str
    moves: Sequence[tuple[str | None, str]]
    took_ms: Sequence[int] = ()


class Took(BaseModel):
    """Counts of durations in the sketch's bins: `bins[0]` is bin number `first`; below a millisecond counts as one."""

    model_config = ConfigDict(frozen=True)

    first: int = 0
    bins: list[int] = []
    sum_ms: int = 0
    max_ms: int = 0


class AgentStats(BaseModel):
    """Runs of an agent: how many are queued, running and waiting now, how many have ended which way since ever.

    A failed run that is resumed counts as running again and, when it ends, as one more ending.
    """

    model_config = ConfigDict(frozen=True)

    agent: str
    queued: int = 0
    running: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    took: Took = Took()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def latency_ms(self) -> dict[str, float | None]:
        """Return percentiles of the time from submission to end, in milliseconds; None while nothing has ended."""
        return percentiles(self.took)


def merged(parts: Sequence[AgentStats]) -> AgentStats:
    """Return the partitions' parts of a row as one; there is at least one part."""
    counts = {name: sum(getattr(part, name) for part in parts) for name in (*LIVE, *ENDED)}
    store = DenseStore()
    for part in parts:
        for number, count in enumerate(part.took.bins):
            if count:
                store.add(part.took.first + number, count)
    bins: list[int] = []
    if store.count:
        low, high = store.min_key - store.offset, store.max_key - store.offset
        bins = [int(count) for count in store.bins[low : high + 1]]
    took = Took(
        first=store.min_key if store.count else 0,
        bins=bins,
        sum_ms=sum(part.took.sum_ms for part in parts),
        max_ms=max(part.took.max_ms for part in parts),
    )
    return AgentStats(agent=parts[0].agent, **counts, took=took)


@table(of=[RunsMoved], row=AgentStats, merge=merged)
def agent_stats(row: AgentStats | None, moved: RunsMoved) -> AgentStats | None:
    """How many runs of an agent are queued, running, waiting and failed, and how long they took."""
    before = row or AgentStats(agent=moved.agent)
    counts = {name: getattr(before, name) for name in (*LIVE, *ENDED)}
    for old, new in moved.moves:
        if old in LIVE:
            counts[old] -= 1
        counts[new] += 1
    return AgentStats.model_construct(agent=moved.agent, **counts, took=added(before.took, moved.took_ms))


def added(took: Took, values_ms: Sequence[int]) -> Took:
    """Return the sketch with more values."""
    if not values_ms:
        return took
    keys = [_MAPPING.key(max(value, 1)) for value in values_ms]
    low, high = min(keys), max(keys)
    if took.bins:
        low, high = min(low, took.first), max(high, took.first + len(took.bins) - 1)
    bins = [0] * (high - low + 1)
    bins[took.first - low : took.first - low + len(took.bins)] = took.bins
    for key in keys:
        bins[key - low] += 1
    return Took.model_construct(
        first=low,
        bins=bins,
        sum_ms=took.sum_ms + sum(values_ms),
        max_ms=max(took.max_ms, *values_ms),
    )


def percentiles(took: Took) -> dict[str, float | None]:
    """Return `p50` and so on, and the mean and maximum, in milliseconds."""
    store = DenseStore()
    for number, count in enumerate(took.bins):
        if count:
            store.add(took.first + number, count)
    sketch = BaseDDSketch(_MAPPING, store, DenseStore(), 0.0)
    found: dict[str, float | None] = {}
    for percent in QUANTILES:
        value = sketch.get_quantile_value(percent / 100)
        found[f"p{percent}"] = None if value is None else round(value, 1)
    ended = sum(took.bins)
    return {**found, "mean": round(took.sum_ms / ended, 1) if ended else None, "max": float(took.max_ms)}
