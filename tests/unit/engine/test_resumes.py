"""Property: a run that fails and is resumed, whatever the crashes, ends as if nothing had ever failed."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.testing import Harness
from tests.unit.engine.programs import Outside, fragile_program_of, interpreter, leaf


class Breaking:
    """Breaks each fragile step the first time, and counts what was done."""

    def __init__(self, harness: Harness, *, healthy: bool) -> None:
        self.harness = harness
        self.healthy = healthy
        self.broken: set[str] = set()

    def __call__(self) -> bool:
        key = self.harness.calls[-1].idempotency_key
        if self.healthy or key in self.broken:
            return False
        self.broken.add(key)
        return True


def carry_out(program: Any, *, healthy: bool, **options: Any) -> Harness:
    harness = Harness(interpreter, leaf, **options)
    Outside.attempt = staticmethod(lambda: harness.calls[-1].attempt)
    Outside.breaks = staticmethod(Breaking(harness, healthy=healthy))
    harness.submit(interpreter, program, run_id="root")
    harness.run()
    for _ in range(100):
        if harness.status("root") != "failed":
            break
        harness.resume("root")
        harness.run()
    return harness


def emitted(harness: Harness) -> Counter[int]:
    return Counter(event.number for event in harness.records("events"))  # type: ignore[attr-defined]


def without_ids(result: Any) -> str:
    """Return a result without the ids of children: one called after a resume has another id."""
    return re.sub(r"c-[a-z2-7]{26}", "child", repr(result))


@settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 24),
    crashes=st.integers(0, 4),
    evict=st.booleans(),
    parted=st.booleans(),
)
def test_a_resumed_run_ends_as_if_nothing_had_failed(
    seed: int, size: int, crashes: int, *, evict: bool, parted: bool
) -> None:
    program = fragile_program_of(seed, size)
    whole = carry_out(program, healthy=True)
    draw = random.Random(seed)
    points = {draw.randint(1, whole.commits + 5) for _ in range(crashes)}
    resumed = carry_out(program, healthy=False, crash_at=points, shuffle=draw, evict=evict, parted=parted)

    assert resumed.outcome("root").error is None
    assert without_ids(resumed.outcome("root").result) == without_ids(whole.outcome("root").result)
    assert emitted(resumed) == emitted(whole)
    assert len(resumed.run_ids) == len(whole.run_ids), "failed children go on, none is started anew"
    endings = Counter(output.id for output in resumed.outputs if output.to == "runs")
    assert max(endings.values()) == 1
