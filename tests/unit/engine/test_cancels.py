"""Property: a cancel at any moment, with crashes around it, ends the run and all that it called, once each."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.testing import Harness
from tests.unit.engine.programs import Outside, interpreter, leaf, program_of


@settings(max_examples=600, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(4, 24),
    crashes=st.integers(0, 3),
    evict=st.booleans(),
)
def test_a_cancel_at_any_moment_ends_everything_once(seed: int, size: int, crashes: int, *, evict: bool) -> None:
    draw = random.Random(seed)
    points = {draw.randint(1, 30) for _ in range(crashes)}
    harness = Harness(interpreter, leaf, crash_at=points, shuffle=draw, evict=evict)
    Outside.attempt = staticmethod(lambda: harness.calls[-1].attempt)
    harness.submit(interpreter, program_of(seed, size), run_id="root")
    for _ in range(draw.randint(0, 20)):
        harness._one()
    harness.run(limit_s=draw.randint(0, 60))
    before = harness.status("root") if "root" in harness.run_ids else "queued"
    harness.cancel("root", "enough", id="c")
    harness.settle()
    if before not in ("succeeded", "failed"):
        assert harness.status("root") == "cancelled"
        called = {event.run_id for event in harness.records("agents") if event.parent_path}  # type: ignore[attr-defined]
        assert {harness.status(child) for child in called} <= {"succeeded", "failed", "cancelled"}
    harness.run()
    endings = Counter(output.id for output in harness.outputs if output.to == "runs")
    assert max(endings.values()) == 1
    last = harness.entries("root")[-1]
    assert last.path.startswith(("~end/", "~in/")) or last.kind == "late"
