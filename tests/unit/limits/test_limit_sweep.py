"""The sweep of limits: all that is over goes in one round, whatever is cached beside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from streams import clock
from streams.limits import shared_answers
from streams.limits.limit_sweep import LimitSweep
from streams.limits.shared_answers import SharedAnswerHome
from tests.unit.limits.fakes import Committer, Owned

HOUR_MS = 3_600_000


class World:
    """A home of answers and its sweep."""

    def __init__(self) -> None:
        self.owned, self.committer = Owned(), Committer()
        self.answers = SharedAnswerHome(cast("Any", self.owned), cast("Any", self.committer))
        self.swept = LimitSweep(cast("Any", SimpleNamespace(committer=self.committer, assignments={})))

    async def sweep(self, now_ms: int) -> None:
        await self.swept.sweep(cast("Any", self.owned), now_ms)


async def test_four_thousand_answers_that_are_over_go_in_one_round_and_the_others_stay() -> None:
    world = World()
    for number in range(4000):
        await world.answers.put(f"old-{number}", number, 60.0)
    for number in range(10):
        await world.answers.put(f"new-{number}", number, 7200.0)
    await world.sweep(clock.now_ms())
    assert len(world.owned.store.rows) == 8020
    await world.sweep(clock.now_ms() + HOUR_MS)
    assert len(world.owned.store.rows) == 20
    assert all(b"new-" in key for key in world.owned.store.rows)


async def test_a_round_without_anything_over_reads_one_row() -> None:
    world = World()
    for number in range(3000):
        await world.answers.put(f"a-{number}", number, 7200.0)
    await world.sweep(clock.now_ms())  # the first round looks for what an older version has kept
    read: list[bytes] = []
    scan = world.owned.store.scan_committed

    def counted(prefix: bytes, start: bytes | None = None) -> Any:
        for one in scan(prefix, start):
            read.append(one[0])
            yield one

    world.owned.store.scan_committed = counted  # type: ignore[method-assign]
    await world.sweep(clock.now_ms() + HOUR_MS)
    assert len(read) == 1


async def test_an_answer_that_was_made_again_lasts_as_long_as_the_newer_one() -> None:
    world = World()
    await world.answers.put("a", 1, 60.0)
    await world.answers.put("a", 2, 7200.0)
    await world.sweep(clock.now_ms() + HOUR_MS)
    assert await world.answers.ask("a", "w#1", 1.0) == {"hit": True, "value": 2}
    await world.sweep(clock.now_ms() + 3 * HOUR_MS)
    assert world.owned.store.rows == {}


async def test_answers_and_grants_of_an_older_version_are_found() -> None:
    world = World()
    for number in range(2500):
        world.owned.store.rows[shared_answers.key_of(f"a-{number:05}")] = b"%d 1" % clock.now_ms()
        world.owned.store.rows[b"g/x/%05d" % number] = b"1 %d" % clock.now_ms()
    await world.sweep(clock.now_ms())
    await world.sweep(clock.now_ms() + HOUR_MS)
    assert world.owned.store.rows == {}
