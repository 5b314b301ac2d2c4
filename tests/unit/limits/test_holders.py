"""Holders: what one held is released when its group has expelled it, or its slot has another process; not before."""

from __future__ import annotations

from streams.limits.holders import Holder, HolderWatch
from streams.query.placement import Presence

OWN, OTHER, HEAVY = Holder("default", "0", 1), Holder("default", "1", 2), Holder("heavy", "0", 3)


class World:
    """A home, heartbeats and groups as a test wants them."""

    def __init__(self) -> None:
        self.held = {str(OWN), str(OTHER), str(HEAVY), "of an older version", ""}
        self.gone: list[str] = []
        self.presences = {OTHER: Presence.PRESENT, HEAVY: Presence.PRESENT}
        self.groups: dict[str, frozenset[str] | None] = {
            "default": frozenset({str(OWN), str(OTHER)}),
            "heavy": frozenset({str(HEAVY)}),
        }
        self.questions: list[str] = []
        self.watch = HolderWatch(OWN, self.presences.__getitem__, self.members, [self])

    def holders(self) -> set[str]:
        return self.held

    def left(self, holder: str) -> None:
        self.gone.append(holder)
        self.held.discard(holder)

    async def members(self, pool: str) -> frozenset[str] | None:
        self.questions.append(pool)
        return self.groups[pool]


async def test_nobody_is_asked_while_all_beat() -> None:
    world = World()
    await world.watch.look()
    assert (world.questions, world.gone) == ([], [])


async def test_a_silent_member_keeps_what_it_holds_until_its_group_has_expelled_it() -> None:
    world = World()
    world.presences[OTHER] = Presence.SILENT
    await world.watch.look()
    assert (world.questions, world.gone) == (["default"], [])
    world.groups["default"] = frozenset({str(OWN)})
    await world.watch.look()
    assert world.gone == [str(OTHER)]


async def test_the_last_worker_of_another_pool_leaves_nothing_behind() -> None:
    world = World()
    world.presences[HEAVY] = Presence.SILENT
    world.groups["heavy"] = frozenset()
    await world.watch.look()
    assert world.gone == [str(HEAVY)]


async def test_a_restart_in_the_slot_proves_that_the_former_process_is_gone() -> None:
    world = World()
    world.presences[OTHER] = Presence.REPLACED
    await world.watch.look()
    assert (world.questions, world.gone) == ([], [str(OTHER)])


async def test_an_answer_that_does_not_know_the_asker_proves_nothing() -> None:
    world = World()
    world.presences[OTHER] = Presence.SILENT
    world.groups["default"] = frozenset()
    await world.watch.look()
    world.groups["default"] = None
    await world.watch.look()
    assert world.gone == []


async def test_a_holder_that_came_after_the_question_is_not_judged_by_its_answer() -> None:
    world = World()
    world.held = {str(OTHER)}
    late = Holder("default", "2", 4)
    world.presences |= {OTHER: Presence.SILENT, late: Presence.SILENT}
    world.groups["default"] = frozenset({str(OWN)})
    ask = world.members

    async def slowly(pool: str) -> frozenset[str] | None:
        answer = await ask(pool)
        world.held.add(str(late))
        return answer

    await HolderWatch(OWN, world.presences.__getitem__, slowly, [world]).look()
    assert world.gone == [str(OTHER)]


def test_a_holder_is_read_back_and_other_names_are_none() -> None:
    assert Holder.parse(str(OTHER)) == OTHER
    assert Holder.parse("default.0-abc") is None
    assert OTHER.worker_id == "default.1"
