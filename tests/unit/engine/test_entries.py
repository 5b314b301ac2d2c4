"""Entries, their keys and the pure folds over them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streams import Run, agent, minutes
from streams.engine.entry import Entry, journal_key, run_prefix
from streams.engine.ids import child_id, run_id_of_key, seeded
from streams.engine.timers import timers_of
from streams.engine.view import fold, history
from streams.testing import Harness
from tests.unit.engine.programs import interpreter, leaf, program_of


def test_keys_name_the_run_first_so_that_a_prefix_reads_it() -> None:
    assert journal_key("r1", "3.0.1", 2) == b"r/r1/3.0.1/2"
    assert journal_key("r1", "~in/s1", 2) == b"r/r1/~in/s1"
    assert journal_key("r1", "~end/1", 2) == b"r/r1/~end/1"
    assert journal_key("r1", "~deadline", 1) == b"r/r1/~deadline/1"
    assert run_prefix("r1") == b"r/r1/"


def test_ids_are_derived_and_never_drawn() -> None:
    assert run_id_of_key("me", "k") == run_id_of_key("me", "k")
    assert run_id_of_key("me", "k") != run_id_of_key("you", "k")
    assert run_id_of_key(None, "k").startswith("k-")
    assert len(run_id_of_key("me", "k")) == 28
    assert len({child_id("r", path, resume) for path in ("1", "2") for resume in (0, 1)}) == 4
    assert seeded("r", "1").random() == seeded("r", "1").random() != seeded("r", "2").random()


def test_an_entry_survives_its_record_and_its_mapping() -> None:
    entry = Entry.from_dict({"run_id": "r", "path": "1", "kind": "step", "output": {"a": [1]}, "usage": {"tokens": 1}})
    assert Entry.from_record(entry.to_record()) == entry
    assert Entry.from_dict(entry.to_dict()) == entry


@pytest.mark.parametrize("seed", range(60))
def test_the_view_of_a_run_at_rest_is_the_fold_of_its_entries(seed: int) -> None:
    harness = Harness(interpreter, leaf)
    harness.submit(interpreter, program_of(seed, 1 + seed % 20), run_id="root")
    for _ in range(40):
        harness.settle()
        for run_id, machine in harness._machines.items():
            folded, live = fold(harness.entries(run_id)).to_json(), machine.view().to_json()
            assert set(folded.pop("children")) == set(live.pop("children"))
            for moving in ("step", "attempt"):
                del folded[moving], live[moving]
            assert folded == live
        harness.run(limit_s=5)


@pytest.mark.parametrize("seed", range(60))
def test_timers_from_entries_are_those_that_the_machine_asked_for(seed: int) -> None:
    """Index-only workers fire the same timers as those that hold the machine."""
    harness = Harness(interpreter, leaf)
    harness.submit(interpreter, program_of(seed, 1 + seed % 20), run_id="root")
    draw = random.Random(seed)
    for _ in range(10):
        harness.run(limit_s=draw.randint(1, 20))
        for run_id, machine in harness._machines.items():
            if machine.driving:
                again = type(machine)(machine.agent, run_id)
                asked = {
                    (timer.path, timer.due_ms)
                    for timer in again.restore(harness.entries(run_id), harness.now_ms).timers
                }
                indexed = {(t.path, t.due_ms) for t in timers_of(harness.entries(run_id)) if t.due_ms > harness.now_ms}
                assert indexed == {one for one in asked if one[1] > harness.now_ms}
                again.drop()


def test_stage_and_deadline_timers_are_in_the_index_too() -> None:
    @agent(deadline=minutes(10))
    async def staged(run: Run) -> None:
        async with run.stage("ONE", timeout=minutes(1)):
            await run.sleep(30)
        await run.sleep(30)

    harness = Harness(staged)
    run_id = harness.submit(staged)
    harness.settle()
    begin = harness.now_ms
    timers = {timer.path: timer.due_ms - begin for timer in timers_of(harness.entries(run_id))}
    assert timers == {"~deadline": 600_000, "1": 60_000, "2": 30_000}
    harness.advance(31)
    timers = {timer.path: timer.due_ms - begin for timer in timers_of(harness.entries(run_id))}
    assert timers == {"~deadline": 600_000, "3": 60_000}
    harness.run()
    assert timers_of(harness.entries(run_id)) == []


def test_usage_counts_every_attempt_also_when_the_log_keeps_only_the_last() -> None:
    answers: list[Any] = [OSError("down"), "fine"]

    def model(prompt: str, args: list[Any]) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    @agent
    async def asks(run: Run) -> str:
        return await run.llm("say")

    harness = Harness(asks, model=model)
    run_id = harness.submit(asks)
    harness.run()
    usage = harness.outcome(run_id).view["usage"]
    assert (usage["llm_calls"], usage["input_tokens"], usage["recorded_hits"]) == (2, 1, 0)
    assert harness._machines[run_id].view().to_json()["usage"] == usage


def test_large_inputs_are_cut_and_large_outputs_are_written_once() -> None:
    @agent
    async def copying(run: Run) -> int:
        page = await run.step(lambda: "x" * 100_000, name="fetch")
        for index in range(20):
            await run.step(lambda text, index: len(text) + index, page, index, name="measure")
        return len(page)

    harness = Harness(copying)
    run_id = harness.submit(copying)
    harness.run()
    written = sum(len(str(line)) for line in history(harness.entries(run_id)))
    assert written < 130_000, "one copy of the page, not twenty-one"
