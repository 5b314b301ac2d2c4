"""Ready only with workers for what waits; the answer says which pool lacks one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from streams.gateway.worker_check import WorkerCheck
from topics.errors import TopicError


@dataclass
class Pools:
    """Live pools, and what their workers had in memory."""

    live: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)

    def pools(self) -> list[str]:
        return self.live

    def last_running(self, pool: str) -> int:
        return self.running.get(pool, 0)


def check(pools: Pools, queued: dict[str, int], asked: list[str] | None = None) -> WorkerCheck:
    def waiting(pool: str, queues: Sequence[str]) -> int:
        if asked is not None:
            asked.append(pool)
        assert queues == ["agents.crunch"]
        if queued[pool] < 0:
            raise TopicError("no broker")
        return queued[pool]

    return WorkerCheck(cast("Any", pools), {"heavy": ["agents.crunch"]}, waiting)


async def test_without_any_worker_it_is_not_ready() -> None:
    said = await check(Pools(), {"heavy": 0})()
    assert said == "no live worker of pool 'default': start one with `streams worker --pool default`"


async def test_a_pool_needs_a_worker_once_its_queue_has_runs() -> None:
    pools, asked = Pools(["default"]), list[str]()
    assert await check(pools, {"heavy": 0}, asked)() is None
    found = check(pools, {"heavy": 1}, asked)
    assert "pool 'heavy'" in str(await found())
    assert "pool 'heavy'" in str(await found())
    assert asked == ["heavy", "heavy"], "the queues are not read at each probe"
    pools.live.append("heavy")
    assert await found() is None


async def test_runs_that_a_dead_worker_had_in_memory_need_one_too() -> None:
    assert "pool 'heavy'" in str(await check(Pools(["default"], {"heavy": 2}), {"heavy": 0})())


async def test_while_the_log_cannot_be_read_the_check_of_the_broker_tells() -> None:
    assert await check(Pools(["default"]), {"heavy": -1})() is None
