"""Property: whatever program, crash points and completion order, the outcome is that of the uninterrupted run."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.testing import Harness
from tests.unit.engine.programs import Outside, interpreter, leaf, listening, program_of


def carry_out(program: Any, draw: random.Random, **options: Any) -> Harness:
    harness = Harness(interpreter, leaf, **options)
    Outside.attempt = staticmethod(lambda: harness.calls[-1].attempt)
    numbers = itertools.count()
    program = listening(program, numbers)
    words = list(range(next(numbers)))
    draw.shuffle(words)
    for number in words[::2]:  # before the run, which keeps them
        harness.signal("root", "word", {"number": number}, id=f"w{number}")
    harness.submit(interpreter, program, run_id="root")
    for number in words[1::2]:
        for _ in range(draw.randrange(4)):
            harness._one()
        harness.signal("root", "word", {"number": number}, id=f"w{number}")
    harness.run()
    return harness


def recorded(harness: Harness) -> dict[tuple[str, str], Any]:
    """Return what the journals of all runs say, without times and ranks, which a crash may change."""
    return {
        (run_id, entry.path): (entry.kind, entry.name, entry.status, entry.attempt, repr(entry.output))
        for run_id in harness.run_ids
        for entry in harness.entries(run_id)
        if not entry.path.startswith("~in/")
    }


def said(harness: Harness) -> Counter[str]:
    return Counter(f"{output.to} {output.id}" for output in harness.outputs)


@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 32),
    crashes=st.integers(0, 6),
    evict=st.booleans(),
    parted=st.booleans(),
)
def test_a_crash_changes_nothing_but_the_number_of_attempts(
    seed: int, size: int, crashes: int, *, evict: bool, parted: bool
) -> None:
    program = program_of(seed, size)
    draw = random.Random(seed)
    whole = carry_out(program, draw, parted=parted)
    points = {draw.randint(1, whole.commits + crashes) for _ in range(crashes)}
    broken = carry_out(program, draw, crash_at=points, shuffle=draw, evict=evict, parted=parted)

    assert broken.outcome("root").status == whole.outcome("root").status
    assert broken.outcome("root").result == whole.outcome("root").result
    assert recorded(broken) == recorded(whole)
    assert said(broken) == said(whole), "each output is committed once"
    assert max(said(broken).values()) == 1
    attempts = Counter((call.idempotency_key, call.attempt) for call in broken.calls)
    assert all(count <= 1 + broken.crashes for count in attempts.values())
    assert {call.idempotency_key for call in broken.calls} == {call.idempotency_key for call in whole.calls}
