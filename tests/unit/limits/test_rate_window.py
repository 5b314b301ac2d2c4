"""The arithmetic of rates: never more than the limit in any window, whatever dies in between."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.define.limits import Rate
from streams.limits.rate_window import SKEW_S, RateDemand, RateWindow, age, recorded, terms

RATES = [Rate(30, 60.0), Rate(3, 10.0), Rate(1, 2.0), Rate(5, 1.0), Rate(2, 0.5)]


def worst(calls: list[float], per: float) -> int:
    """Return the most calls that any window of that length has."""
    calls = sorted(calls)
    return max((sum(1 for other in calls if at <= other < at + per) for at in calls), default=0)


class World:
    """A home, workers that ask it, and everything that can go wrong, on one true clock."""

    def __init__(self, rate: Rate, chance: random.Random) -> None:
        self.rate, self.chance = rate, chance
        self.now = 0.0
        self.rows: dict[str, int] = {}  # as committed: wall clock milliseconds of the home that wrote it
        self.calls: list[float] = []
        self.used: set[str] = set()
        self.wall = 0.0
        self.take_over(first=True)

    def take_over(self, *, first: bool = False) -> None:
        """Let a new home begin from the rows, with a wall clock of its own."""
        self.wall = self.chance.uniform(0, SKEW_S)
        if recorded(self.rate):
            self.window = RateWindow()
            now_ms = int((self.now + self.wall + 100) * 1000)
            self.window.load([(self.now - age(now_ms, row), request) for request, row in self.rows.items()])
        else:
            self.window = RateWindow(not_before=float("-inf") if first else self.now + terms(self.rate).window)

    def ask(self, request: str, sent: float) -> None:
        """Let a request come in now; what is granted may be used until its time, or never."""
        window = self.window
        for gone in window.expire(self.now, terms(self.rate).window):
            self.rows.pop(gone, None)
        if request not in window:
            if not window.free(self.now, self.rate):
                assert window.wait(self.now, self.rate) > 0
                return
            window.grant(self.now, request)
            self.rows[request] = int((self.now + self.wall + 100) * 1000)
        deadline = sent + terms(self.rate).use
        if self.now <= deadline and request not in self.used and self.chance.random() < 0.9:
            self.used.add(request)
            at_the_edge = self.chance.choice([self.now, deadline])
            self.calls.append(self.chance.choice([at_the_edge, self.chance.uniform(self.now, deadline)]))


@settings(max_examples=150, deadline=None)
@given(rate=st.sampled_from(RATES), seed=st.integers(0, 2**32))
def test_never_more_than_count_in_any_window_whatever_dies(rate: Rate, seed: int) -> None:
    """Requests late, lost and repeated, homes that die at any moment, wall clocks that differ."""
    chance = random.Random(seed)
    world = World(rate, chance)
    number = itertools.count()
    coming: list[tuple[float, str, float]] = []
    for _ in range(200):
        world.now += chance.expovariate(rate.count * 3 / rate.per)
        if chance.random() < 0.04:
            world.take_over()
        heapq.heappush(coming, (world.now + chance.expovariate(20 / rate.per), f"w/{next(number)}", world.now))
        while coming and coming[0][0] <= world.now:
            _, request, sent = heapq.heappop(coming)
            for _ in range(1 + (chance.random() < 0.1)):
                world.ask(request, sent)
    assert worst(world.calls, rate.per) <= rate.count


@pytest.mark.parametrize(("rate", "least"), [(Rate(30, 60.0), 0.95), (Rate(30, 10.0), 0.94), (Rate(10, 30.0), 0.92)])
def test_nearly_all_of_a_rate_can_be_used(rate: Rate, least: float) -> None:
    window, now, given_ = RateWindow(), 0.0, 0
    while now < rate.per * 20:
        window.expire(now, terms(rate).window)
        for _ in range(window.free(now, rate)):
            window.grant(now, str(given_))
            given_ += 1
        now += max(window.wait(now, rate), 0.001)
    assert given_ / (now / rate.per * rate.count) >= least


def test_a_minute_has_the_terms_that_are_promised() -> None:
    assert terms(Rate(30, 60.0)) == (2.0, 62.5)


def test_a_request_that_comes_again_has_its_grant() -> None:
    window = RateWindow()
    window.grant(1.0, "a")
    assert "a" in window
    assert window.expire(11.7, terms(Rate(1, 10.0)).window) == ["a"]
    assert "a" not in window


def test_the_next_grant_comes_when_the_oldest_leaves_the_window() -> None:
    rate = Rate(2, 10.0)
    window = RateWindow()
    window.grant(1.0, "a")
    window.grant(4.0, "b")
    assert window.free(5.0, rate) == 0
    assert window.wait(5.0, rate) == pytest.approx(1.0 + terms(rate).window - 5.0)


def test_a_lowered_rate_waits_for_the_right_grant() -> None:
    window = RateWindow()
    for at in range(5):
        window.grant(float(at), str(at))
    rate = Rate(2, 10.0)
    assert window.wait(4.0, rate) == pytest.approx(3.0 + terms(rate).window - 4.0)


def test_a_home_without_records_waits_for_one_window() -> None:
    window = RateWindow(not_before=7.0)
    assert window.free(6.9, RATES[3]) == 0
    assert window.wait(6.5, RATES[3]) == pytest.approx(0.5)
    assert window.free(7.0, RATES[3]) == 5


def test_ages_are_never_negative_and_rather_too_young() -> None:
    assert age(10_000, 20_000) == 0.0
    assert age(10_000, 9_900) == 0.0
    assert age(20_000, 10_000) == pytest.approx(10 - SKEW_S)


def test_a_worker_leaves_their_share_to_those_who_are_due() -> None:
    demand = RateDemand()
    assert demand.share("a", 90, 30, 0.0) == 30
    demand.waits("a", 60, 0.0, 10.0)
    demand.waits("b", 30, 0.0, 10.0)
    assert demand.share("a", 60, 30, 9.95) == 20
    demand.waits("a", 40, 9.95, 0.2)
    assert demand.share("b", 30, 10, 9.97) == 10


def test_who_does_not_come_back_loses_its_share() -> None:
    demand = RateDemand()
    demand.waits("dead", 50, 0.0, 10.0)
    assert demand.share("a", 30, 30, 10.05) < 30
    assert demand.share("a", 30, 30, 10.2) == 30
