"""Holds of budgets at their home: they end with their call, with their process, or by their time, and leave nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from streams.limits.budget_homes import BudgetHomes
from tests.unit.limits.fakes import Committer, Owned


class World:
    """A home with one assignment."""

    def __init__(self) -> None:
        self.owned = Owned()
        runtime = SimpleNamespace(committer=Committer())
        peers = SimpleNamespace(here=lambda _pool, _scope: self.owned)
        writer = SimpleNamespace(send=lambda *_: None)
        parts: tuple[Any, Any, Any] = (runtime, peers, writer)
        self.homes = BudgetHomes(*parts, "default", days=30)
        self.homes.restored(cast("Any", self.owned))

    async def ask(self, do: str, hold: str, holder: str = "w0", scope: str = "agent:a", calls: int = 1) -> Any:
        body = {"do": do, "scope": scope, "hold": hold, "day": "", "budget": {"calls": 2}, "seconds": 60.0}
        return await self.homes.ask({**body, "wanted": [0, 0.0, calls], "holder": holder})

    def scopes(self) -> set[str]:
        return {scope for scopes in vars(self.homes)["_holds"].values() for scope in scopes}


async def test_what_a_dead_process_held_can_be_used_at_once() -> None:
    world = World()
    assert await world.ask("hold", "1", "dead") == {"held": True}
    assert await world.ask("hold", "2", "alive") == {"held": True}
    assert "spent" in await world.ask("hold", "3", "alive")
    assert world.homes.holders() == {"dead", "alive"}
    world.homes.left("dead")
    assert await world.ask("hold", "3", "alive") == {"held": True}
    assert world.homes.holders() == {"alive"}


async def test_the_new_owner_of_a_run_takes_over_the_hold_of_its_call() -> None:
    world = World()
    for holder in ("former", "new", "new"):
        assert await world.ask("hold", "run-1/2/0/1", holder, calls=2) == {"held": True}
    assert world.homes.holders() == {"new"}


async def test_a_scope_without_holds_is_not_remembered() -> None:
    world = World()
    for number in range(100):
        await world.ask("hold", "call", scope=f"run:{number}")
        await world.ask("free", "call", scope=f"run:{number}")
        await world.ask("free", "call", scope=f"never-held:{number}")
        await world.ask("hold", "call", scope=f"refused:{number}", calls=9)
    assert world.scopes() == set()
    await world.ask("hold", "call", "dead", scope="run:1")
    world.homes.left("dead")
    assert world.scopes() == set()
