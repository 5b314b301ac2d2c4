"""The clock that no step moves: it runs on by itself, and comes back to the wall clock slowly."""

from __future__ import annotations

import pytest

from streams.clock import SteadyClock, now_ms, steady_ms

SECOND, HOUR = 10**9, 3600 * 10**9
START = 1_800_000_000 * SECOND


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_moves_it_by_a_hundredth_of_what_passes(step: int) -> None:
    steady = SteadyClock(START, 0)
    assert steady.at(START + SECOND, SECOND) == START + SECOND
    after = steady.at(START + 11 * SECOND + step, 11 * SECOND)
    assert after - START - 11 * SECOND == (SECOND // 10 if step > 0 else -SECOND // 10)


def test_it_comes_back_to_the_wall_clock_and_stays_with_it() -> None:
    steady, step = SteadyClock(START, 0), 5 * SECOND
    found = [steady.at(START + passed + step, passed) - START - passed for passed in range(0, 600 * SECOND, SECOND)]
    assert found == sorted(found)
    assert found[499] < found[500] == found[-1] == step


def test_it_never_goes_back_whatever_the_clocks_say() -> None:
    steady = SteadyClock(START, 100)
    found = [steady.at(wall, running) for wall, running in ((0, 200), (START * 2, 150), (0, 150), (START, 300))]
    assert found == sorted(found)


def test_without_a_step_it_is_the_wall_clock() -> None:
    before, steady, after = now_ms(), steady_ms(), now_ms()
    assert before - 1000 < steady < after + 1000
