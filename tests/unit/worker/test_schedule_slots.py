"""Slots: cron and interval arithmetic, both nights of daylight saving in two zones, and what counts after a gap."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.define.schedules import schedule
from streams.engine.slots import Slots, look
from streams.errors import DefinitionError

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


def slots(**rule: Any) -> Slots:
    def digest() -> None:
        """Do nothing."""

    return Slots(schedule(**rule)(digest))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def utc(found: list[int]) -> list[str]:
    return [datetime.fromtimestamp(slot / 1000, UTC).strftime("%d %H:%M") for slot in found]


def first(made: Slots, after: str, count: int) -> list[str]:
    return utc(list(islice(made.after(ms(after)), count)))


NIGHTS = {
    # zone: noon before the night that leaves an hour out, slots of half past two (UTC); noon before the night that has
    # an hour twice, that hour, slots of half past it (UTC)
    "Europe/Paris": ("2026-03-28T12:00Z", ["29 01:00", "30 00:30"], "2026-10-24T12:00Z", 2, ["25 00:30", "26 01:30"]),
    "America/New_York": (
        "2026-03-07T12:00Z",
        ["08 07:00", "09 06:30"],
        "2026-10-31T12:00Z",
        1,
        ["01 05:30", "02 06:30"],
    ),
}


@pytest.mark.parametrize("zone", NIGHTS)
def test_an_hour_that_is_left_out_fires_at_the_next_valid_minute(zone: str) -> None:
    """Half past two does not exist that night: the slot is at three, once, and the next night as ever."""
    before, expected, *_ = NIGHTS[zone]
    assert first(slots(cron="30 2 * * *", tz=zone), before, 2) == expected


@pytest.mark.parametrize("zone", NIGHTS)
def test_an_hour_that_comes_twice_fires_once(zone: str) -> None:
    *_, before, hour, expected = NIGHTS[zone]
    assert first(slots(cron=f"30 {hour} * * *", tz=zone), before, 2) == expected


@pytest.mark.parametrize("zone", NIGHTS)
def test_every_quarter_of_an_hour_goes_by_real_time_on_both_nights(zone: str) -> None:
    for night in (NIGHTS[zone][0], NIGHTS[zone][2]):
        found = list(islice(slots(cron="*/15 * * * *", tz=zone).after(ms(night)), 4 * 30))
        assert {after - before for before, after in pairwise(found)} == {15 * MINUTE}


@pytest.mark.parametrize("zone", NIGHTS)
def test_a_slot_after_the_first_of_two_equal_hours_does_not_come_again_in_the_second(zone: str) -> None:
    """Asked from within the second hour, what fired in the first one is over."""
    *_, before, hour, _ = NIGHTS[zone]
    made = slots(cron=f"45 {hour} * * *", tz=zone)
    fired = made.next(ms(before)) or 0
    assert {made.next(fired + minutes * MINUTE) for minutes in range(1, 90)} == {fired + 25 * HOUR}


@pytest.mark.parametrize("zone", NIGHTS)
def test_a_day_of_every_minute_has_each_minute_once(zone: str) -> None:
    for night in (NIGHTS[zone][0], NIGHTS[zone][2]):
        found = slots(cron="* * * * *", tz=zone).between(ms(night), ms(night) + 24 * HOUR, 5000)
        assert found == [ms(night) + minute * MINUTE for minute in range(24 * 60)]


def test_slots_do_not_depend_on_where_one_starts_to_ask() -> None:
    """From any moment of the two nights the next slot is the one that the whole list has."""
    for zone in NIGHTS:
        for cron in ("30 2 * * *", "15 1,2,3 * * *", "*/20 1-3 * * *", "0 0 3 * * *"):
            made = slots(cron=cron, tz=zone)
            for night in (ms(NIGHTS[zone][0]), ms(NIGHTS[zone][2])):
                whole = made.between(night, night + 48 * HOUR, 1000)
                for at in range(night, night + 30 * HOUR, 7 * MINUTE):
                    assert made.next(at) == next(slot for slot in whole if slot > at), (zone, cron, at)


def test_a_second_in_front_keeps_wall_time_and_a_list_of_seconds_is_real_time() -> None:
    at = "2026-03-28T12:00Z"
    assert slots(cron="10 30 2 * * *", tz="Europe/Paris").next(ms(at)) == ms("2026-03-29T01:00:10Z")
    found = list(islice(slots(cron="*/20 * * * * *").after(ms(at)), 3))
    assert [slot - ms(at) for slot in found] == [20 * SECOND, 40 * SECOND, 60 * SECOND]


def test_every_second_follows_on_any_moment() -> None:
    made = slots(cron="* * * * * *")
    assert made.next(1_700_000_000_123) == 1_700_000_001_000
    assert made.next(1_700_000_001_000) == 1_700_000_002_000


def test_an_interval_is_a_multiple_since_its_start_and_ends_before_its_end() -> None:
    start, end = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC), datetime(2026, 1, 1, 0, 1, 10, tzinfo=UTC)
    made = slots(every=20, start=start, end=end)
    found = list(made.after(0))
    assert [slot - ms("2026-01-01T00:00Z") for slot in found] == [10_000, 30_000, 50_000]
    assert made.next(found[-1]) is None


def test_a_start_without_a_zone_is_in_the_schedules() -> None:
    made = slots(cron="0 * * * *", tz="Europe/Paris", start=datetime(2026, 7, 1, 12))  # noqa: DTZ001 - the point
    assert utc([made.next(0) or 0]) == ["01 10:00"]


def test_what_never_comes_has_no_slot_and_what_is_no_cron_says_so() -> None:
    assert slots(every=10, end=datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)).next(0) is None
    for wrong in ("0 25 * * *", "0 0 30 2 *", "0 0 * * MUN"):
        with pytest.raises(DefinitionError, match="digest"):
            slots(cron=wrong)


def test_jitter_is_the_same_for_a_slot_at_every_owner_and_within_its_bound() -> None:
    one, two = slots(every=60, jitter=30), slots(every=60, jitter=30)
    offsets = [one.due(slot) - slot for slot in range(0, 100 * MINUTE, MINUTE)]
    assert offsets == [two.due(slot) - slot for slot in range(0, 100 * MINUTE, MINUTE)]
    assert min(offsets) >= 0
    assert max(offsets) < 30_000
    assert len(set(offsets)) > 50


# -- after a gap


@pytest.mark.parametrize("rule", [{"every": 10}, {"cron": "*/10 * * * * *"}])
def test_what_is_within_catch_up_fires_late_and_the_rest_is_counted(rule: dict[str, Any]) -> None:
    """A hundred seconds away, a minute of grace: seven slots fire (60 s is within), three are missed."""
    found = look(slots(**rule), 1_000_000, 1_100_000)
    assert (found.missed, found.due, found.cursor_ms, found.more) == (
        3,
        tuple(range(1_040_000, 1_100_001, 10_000)),
        1_100_000,
        False,
    )


def test_nothing_is_due_before_its_time_and_the_cursor_stays() -> None:
    found = look(slots(every=10), 1_000_000, 1_009_999)
    assert (found.due, found.missed, found.cursor_ms) == ((), 0, 1_000_000)


def test_a_clock_that_goes_back_fires_nothing_again() -> None:
    made = slots(every=10)
    there = look(made, 1_000_000, 1_020_000)
    back = look(made, there.cursor_ms, 1_005_000)
    assert (back.due, back.missed, back.cursor_ms) == ((), 0, there.cursor_ms)
    assert look(made, back.cursor_ms, 1_030_000).due == (1_030_000,)


def test_a_long_gap_is_decided_in_pieces_that_add_up() -> None:
    """Three hours of every second: each slot is missed or due once, whatever the size of a piece."""
    for rule in ({"cron": "* * * * * *"}, {"every": 1}):
        made, cursor, now = slots(**rule), 1_000_000_000, 1_000_000_000 + 3 * HOUR
        due: list[int] = []
        missed, more = 0, True
        while more:
            piece = look(made, cursor, now)
            missed, cursor, more = missed + piece.missed, piece.cursor_ms, piece.more
            due += piece.due
        assert missed + len(due) == 3 * 3600
        assert due == list(range(now - MINUTE, now + 1, SECOND))


def test_jitter_counts_when_it_is_decided_whether_a_slot_is_too_late() -> None:
    made = slots(every=10, jitter=5, catch_up=20)
    found = look(made, 1_000_000, 1_100_000)
    for slot in found.due:
        assert 0 <= 1_100_000 - made.due(slot) <= 20_000
    assert found.missed + len(found.due) == len(
        [s for s in range(1_010_000, 1_100_001, 10_000) if made.due(s) <= 1_100_000]
    )


def test_zones_are_those_of_the_system_or_its_package() -> None:
    assert slots(cron="0 12 * * *", tz="Asia/Kathmandu").next(ms("2026-01-01T00:00Z")) == ms("2026-01-01T06:15Z")
    assert ZoneInfo("Asia/Kathmandu").key == "Asia/Kathmandu"
