"""The breaker's states, and that all workers come to the same one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.define.policies import Breaker
from streams.limits.circuit import GOSSIP_S, BreakerState, CircuitBreaker

POLICY = Breaker(failures=3, cooldown=10.0)


def circuit(worker: str = "a") -> CircuitBreaker:
    return CircuitBreaker("scrape", POLICY, worker)


def opened(at_ms: int = 0, worker: str = "a") -> tuple[CircuitBreaker, BreakerState]:
    made = circuit(worker)
    word = None
    for _ in range(3):
        assert made.enter(at_ms)
        word = made.failed(at_ms)
    assert word is not None
    return made, word


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    made = circuit()
    assert made.failed(0) is None
    assert made.failed(0) is None
    assert made.succeeded(0) is None
    assert [made.failed(0) for _ in range(2)] == [None, None]
    assert made.state(0) == "closed"
    assert made.failed(0) is not None
    assert made.state(0) == "open"


def test_while_it_is_open_no_call_begins() -> None:
    made, _ = opened()
    assert not made.enter(9_999)
    assert made.wait(4_000) == pytest.approx(6.0)


def test_after_the_cooldown_one_call_is_the_trial() -> None:
    made, _ = opened()
    assert made.state(10_000) == "half-open"
    assert made.enter(10_000)
    assert made.probing
    assert not made.enter(10_001)


def test_a_good_trial_closes_it_everywhere() -> None:
    made, word = opened()
    other = circuit("b")
    assert other.apply_state(word)
    assert other.state(0) == "open"
    made.enter(10_000)
    verdict = made.succeeded(10_500)
    assert verdict is not None
    assert other.apply_state(verdict)
    assert (made.state(10_500), other.state(10_500)) == ("closed", "closed")


def test_a_bad_trial_opens_it_for_another_cooldown() -> None:
    made, _ = opened()
    made.enter(10_000)
    assert made.failed(10_500) is not None
    assert made.wait(10_500) == pytest.approx(10.0)


def test_a_trial_that_was_cancelled_leaves_room_for_another() -> None:
    made, _ = opened()
    made.enter(10_000)
    made.abandon_trial()
    assert made.enter(10_001)


def test_others_wait_for_the_verdict_of_the_one_that_opened_it() -> None:
    _, word = opened()
    other = circuit("b")
    other.apply_state(word)
    assert not other.enter(10_000)
    assert other.enter(10_000 + int(GOSSIP_S * 1000))


def test_opened_by_hand_it_stays_open_until_closed_by_hand() -> None:
    made = circuit()
    made.force(0, open_=True)
    assert not made.enter(10_000_000)
    made.force(10_000_000, open_=False)
    assert made.enter(10_000_000)


def test_an_old_word_changes_nothing() -> None:
    made, word = opened()
    made.force(1, open_=False)
    assert not made.apply_state(word)
    assert made.state(2) == "closed"


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_whatever_the_order_of_words_all_come_to_the_same(one: list[int], two: list[int]) -> None:
    words = [
        BreakerState(number, worker, "scrape", open=number % 2 == 1, since_ms=number, cooldown=10.0)
        for number, worker in itertools.product((1, 2, 3), ("a", "b"))
    ]
    first, second = circuit("x"), circuit("y")
    for index in one:
        first.apply_state(words[index])
    for index in two:
        second.apply_state(words[index])
    assert first.word == second.word == max(words)
