"""Code that changes under runs that are under way."""

from __future__ import annotations

from typing import Any

from streams import Run, agent
from streams.engine.machine import Machine
from streams.testing import Harness
from tests.flow.runs.world import World


def code(order: str, world: World, *, version: int = 1, patch: bool = False) -> Any:
    """Return an agent of the same name whose steps come in the order given; `p` is guarded by a patch."""

    async def changing(run: Run) -> str:
        found = ""
        for what in order:
            if what != "p":
                found += await run.step(world.do, what, name=what)
                await run.sleep(10)
            elif run.patched("extra"):
                found += await run.step(world.do, "P", name="P")
        return found

    return agent(version=version)(changing)


def moved(harness: Harness, changed: Any) -> None:
    harness.agents["changing"] = changed
    harness.crash()


def test_the_same_journal_continues_under_changed_code_that_fits(world: World) -> None:
    old = code("ab", world)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.settle()
    moved(harness, code("abc", world))
    harness.run()
    assert harness.outcome(run_id).value() == "abc"
    assert world.done == ["a", "b", "c"]


def test_code_that_does_not_fit_parks_the_run_and_names_the_entry(world: World) -> None:
    old = code("ab", world)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.advance(11)
    moved(harness, code("xb", world))
    parked = harness.outcome(run_id)
    assert (parked.status, parked.error["type"], parked.error["entry"]) == ("failed", "JournalMismatch", "1")
    assert "run.patched" in parked.error["message"]
    moved(harness, old)
    harness.resume(run_id)
    harness.run()
    assert harness.outcome(run_id).value() == "ab"
    assert world.done == ["a", "b"]


def test_a_parked_run_that_is_redriven_parks_again_until_the_code_fits_and_repeats_nothing(world: World) -> None:
    """A letter for each ending, since each may be redriven; what was recorded before is done once."""
    old = code("ab", world)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.advance(11)
    moved(harness, code("xb", world))
    for endings in (2, 3):
        harness.resume(run_id)
        harness.settle()
        parked = harness.outcome(run_id)
        assert (parked.status, parked.error["type"], parked.view["endings"]) == ("failed", "JournalMismatch", endings)
    letters = [event.key_text() for event in harness.records("dead-letters")]
    assert letters == [f"{run_id}/failed/{number}" for number in (1, 2, 3)]
    moved(harness, code("abc", world))
    harness.resume(run_id)
    harness.run()
    assert harness.outcome(run_id).value() == "abc"
    assert world.done == ["a", "b", "c"]


def test_a_patch_is_taken_by_new_runs_and_left_out_by_those_that_passed_it(world: World) -> None:
    old, new = code("ab", world), code("apb", world)
    harness = Harness(old)
    before = harness.submit(old)
    harness.advance(11)
    moved(harness, new)
    after = harness.submit(new)
    harness.settle()
    harness.crash()
    harness.run()
    assert harness.outcome(before).value() == "ab"
    assert harness.outcome(after).value() == "aPb"


def test_a_worker_with_older_code_holds_the_run(world: World) -> None:
    new = code("ab", world, version=2)
    harness = Harness(new)
    run_id = harness.submit(new)
    harness.settle()
    older = Machine(code("ab", world), run_id)
    decision = older.restore(harness.entries(run_id), harness.now_ms)
    assert (older.status, older.view().reason) == ("waiting", "version")
    assert not decision.entries
    assert not decision.perform


def test_other_words_and_other_waits_fit_the_journal(world: World) -> None:
    def said(words: str, seconds: float) -> Any:
        async def changing(run: Run) -> str:
            await run.progress(words, 10)
            await run.sleep(seconds)
            return await run.step(world.do, "end")

        return agent(changing)

    old = said("going", 100)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.settle()
    moved(harness, said("going on", 5))
    harness.run()
    assert harness.outcome(run_id).value() == "end"
