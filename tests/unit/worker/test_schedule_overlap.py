"""What a slot does whose predecessor has not ended: pure turns of the overlap policies."""

from __future__ import annotations

from typing import get_args

import pytest

from schemas.schedule import ScheduleRun
from streams.define.schedules import Overlap
from streams.worker.schedules.overlap import LONG_MS, turn
from streams.worker.schedules.schedule_state import REQUESTS, DueSlot, ScheduleProgress

NOW = 100_000
RUN = ScheduleRun(run_id="t-1", agent="work", pool="default")
POLICIES: tuple[Overlap, ...] = get_args(Overlap)


def entries(*slots: int) -> list[DueSlot]:
    return [DueSlot(f"t-{slot}", slot, durable=True) for slot in slots]


def began(entry: DueSlot) -> None:
    entry.first_ms = entry.since_ms = entry.began_ms = NOW


def state(*slots: int, running: bool = False) -> ScheduleProgress:
    return ScheduleProgress("digest", NOW, waiting=entries(*slots), running=[RUN] if running else [])


@pytest.mark.parametrize("overlap", POLICIES)
def test_without_a_predecessor_the_slot_starts(overlap: Overlap) -> None:
    made = turn(state(1), overlap, NOW)
    assert ([entry.slot_ms for entry in made.start], made.drop, made.cancel) == ([1], [], [])


@pytest.mark.parametrize(
    ("overlap", "start", "drop", "cancel"),
    [
        ("skip", [], [1, 2, 3], []),
        ("buffer_one", [], [2, 3], []),
        ("buffer_all", [], [], []),
        ("cancel_other", [], [1, 2], [RUN]),
        ("allow", [1, 2, 3], [], []),
    ],
)
def test_while_a_run_of_an_earlier_slot_has_not_ended(
    overlap: Overlap, start: list[int], drop: list[int], cancel: list[ScheduleRun]
) -> None:
    made = turn(state(1, 2, 3, running=True), overlap, NOW)
    assert [entry.slot_ms for entry in made.start] == start
    assert [entry.slot_ms for entry in made.drop] == drop
    assert made.cancel == cancel


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other"])
def test_slots_that_are_caught_up_wait_for_the_function_before_them_and_none_is_dropped(overlap: Overlap) -> None:
    """After a gap three slots came at once; the first one's function runs, however long it takes."""
    given = state(1, 2, 3)
    began(given.waiting[0])
    for now in (NOW, NOW + 10 * LONG_MS):
        made = turn(given, overlap, now)
        assert (made.start, made.drop, made.stop) == ([], [], None)


@pytest.mark.parametrize(
    ("overlap", "drop", "stops"),
    [("skip", [2, 3], False), ("buffer_one", [3], False), ("buffer_all", [], False), ("cancel_other", [2], True)],
)
def test_slots_that_came_while_a_function_was_running_for_long(overlap: Overlap, drop: list[int], stops: bool) -> None:
    given = state(1, NOW + 2, NOW + 3)
    began(given.waiting[0])
    made = turn(given, overlap, NOW + LONG_MS)
    assert [entry.slot_ms - NOW for entry in made.drop] == drop
    assert (made.stop is given.waiting[0]) is stops


def test_what_a_person_asked_for_starts_whatever_runs() -> None:
    given = state(1, running=True)
    given.waiting += [DueSlot("t-9~x", 9, "trigger", durable=True), DueSlot("t-8", 8, "backfill", durable=True)]
    made = turn(given, "skip", NOW)
    assert [entry.slot_ms for entry in made.start] == [9, 8]
    assert [entry.slot_ms for entry in made.drop] == [1]


def test_a_retry_waits_for_its_time_and_holds_its_successors() -> None:
    given = state(1, 2, NOW + 1)
    began(given.waiting[0])
    given.waiting[0].attempt, given.waiting[0].due_ms, given.waiting[0].began_ms = 2, NOW + 1500, None
    assert turn(given, "skip", NOW).start == []
    assert [entry.slot_ms for entry in turn(given, "skip", NOW + 1500).start] == [1]
    assert [entry.slot_ms for entry in turn(given, "skip", NOW + 1200).drop] == [NOW + 1]


def test_a_state_survives_its_row() -> None:
    given = state(1, 2, running=True)
    given.waiting[0].attempt, given.waiting[0].due_ms = 2, 77
    given.last_ms, given.missed, given.paused = 5, 3, True
    again = ScheduleProgress.of(given.row())
    assert again.row() == given.row()
    assert all(entry.durable and entry.began_ms is None for entry in again.waiting)


def test_requests_are_remembered_up_to_a_bound() -> None:
    given = state()
    assert [given.asked("one"), given.asked("one")] == [False, True]
    for number in range(REQUESTS):
        given.asked(str(number))
    assert len(given.requests) == REQUESTS
    assert given.asked(str(REQUESTS - 1))


def test_only_a_run_that_slots_look_at_changes_the_state_when_it_ends() -> None:
    given = state(running=True)
    assert [given.ended("t-other"), given.ended("t-1"), given.running] == [False, True, []]
