"""Property: run again from its journal, a run ends as it did, whatever the program and whatever interrupted it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.run import ENDED, RunSubmitted
from streams.replay.report import RunReport
from streams.replay.run_observations import Observed
from streams.replay.runs import LoggedRuns, Rerun, Submission
from streams.replay.world import World
from streams.testing import BEGINNING_MS, Harness
from tests.unit.engine.programs import Outside, fragile_program_of, interpreter, leaf, program_of

AGENTS = {agent.name: agent for agent in (interpreter, leaf)}
MANY = settings(max_examples=800, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def happened(
    program: Any, *, breaks: int = 0, said: Sequence[tuple[int, str]] = (), **options: Any
) -> dict[str, Observed]:
    """Run a program with everything that its steps do, and return what the log then says."""
    harness = Harness(interpreter, leaf, **options)
    left = breaks

    def breaking() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    Outside.attempt = staticmethod(lambda: harness.calls[-1].attempt)
    Outside.breaks = staticmethod(breaking)
    harness.submit(interpreter, program, run_id="root")
    for seconds, what in said:
        harness.advance(seconds)
        harness.cancel("root") if what == "cancel" else harness.signal("root", "nothing", what)
    harness.run()
    for _ in range(breaks):
        if harness.status("root") == "failed":
            harness.advance(30)
            harness.resume("root")
            harness.run()
    Outside.breaks = staticmethod(lambda: True)  # nothing that is run again may get here
    return {run_id: Observed(harness.entries(run_id)) for run_id in harness.run_ids}


def again(program: Any, known: dict[str, Observed]) -> tuple[list[RunReport], World]:
    submitted = RunSubmitted(run_id="root", agent=interpreter.name, input=program)
    return asyncio.run(Rerun(AGENTS, LoggedRuns(known)).root(Submission(submitted, BEGINNING_MS)))


def agree(program: Any, known: dict[str, Observed]) -> None:
    reports, world = again(program, known)
    assert world.misses == []
    assert {report.run_id for report in reports} == set(known)
    assert [report for report in reports if report.equal is False] == []
    assert all(report.equal for report in reports if known[report.run_id].view.status in ENDED)
    assert sum(report.made for report in reports) == 0


@MANY
@given(seed=st.integers(0, 2**32), size=st.integers(1, 32), crashes=st.integers(0, 6), evict=st.booleans())
def test_a_run_ends_as_it_did(seed: int, size: int, crashes: int, *, evict: bool) -> None:
    program, draw = program_of(seed, size), random.Random(seed)
    points = {draw.randint(1, 60) for _ in range(crashes)}
    agree(program, happened(program, crash_at=points, shuffle=draw, evict=evict))


@MANY
@given(seed=st.integers(0, 2**32), size=st.integers(1, 32), breaks=st.integers(1, 3))
def test_a_run_that_failed_and_was_resumed_ends_as_it_did(seed: int, size: int, breaks: int) -> None:
    program = fragile_program_of(seed, size)
    agree(program, happened(program, breaks=breaks, shuffle=random.Random(seed)))


SAID = st.lists(st.tuples(st.integers(0, 70), st.sampled_from(["hello", "hello", "cancel"])), min_size=1, max_size=3)


@MANY
@given(seed=st.integers(0, 2**32), size=st.integers(1, 32), said=SAID)
def test_a_run_that_was_told_something_is_told_it_again(seed: int, size: int, said: list[tuple[int, str]]) -> None:
    program = program_of(seed, size)
    agree(program, happened(program, said=said, shuffle=random.Random(seed)))
