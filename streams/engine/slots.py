"""When a schedule fires: its slots by cron or interval, in its time zone, and which of them count after a gap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from streams.engine.ids import seeded, slot_id
from streams.errors import DefinitionError

if TYPE_CHECKING:
    from streams.define.schedules import Schedule

MOST: Final = 500  # slots decided in one look, so that a long gap does not hold the event loop


class Slots:
    """The slots of one schedule, in milliseconds since the epoch.

    A cron expression at fixed hours and minutes keeps wall time as Debian's cron does: once where an hour comes twice,
    at the next valid minute where it is left out. One with `*` as minute or hour follows real time. A sixth field,
    in front, is the second. Slots of an interval are multiples of it since `start`, or since the epoch.
    """

    def __init__(self, schedule: Schedule) -> None:
        """Raise DefinitionError for an expression that is none."""
        self.name = schedule.name
        self.catch_up_ms = int(schedule.catch_up * 1000)
        self._jitter_ms = int(schedule.jitter * 1000)
        self._every_ms = None if schedule.every is None else max(int(schedule.every * 1000), 1)
        zone = _zone(schedule.tz)
        self._zone = zone
        self._start = None if schedule.start is None else _ms(schedule.start, zone)
        self._end = None if schedule.end is None else _ms(schedule.end, zone)
        self._expression, self._seconds_ms = _cron(schedule.cron or "")
        if schedule.cron is not None:
            try:
                CronSim(self._expression, datetime(2000, 1, 1, tzinfo=zone))
            except CronSimError as error:
                raise DefinitionError(
                    f"schedule {self.name}: {schedule.cron!r} is no cron expression ({error}): "
                    "minute hour day month weekday, with a second in front if you like"
                ) from error

    def after(self, ms: int) -> Iterator[int]:
        """Yield the slots after `ms`, in order."""
        if self._start is not None:
            ms = max(ms, self._start - 1)
        for slot in self._every(ms) if self._every_ms is not None else self._cron(ms):
            if self._end is not None and slot >= self._end:
                return
            yield slot

    def between(self, start_ms: int, end_ms: int, most: int) -> list[int]:
        """Return the first `most` slots from `start_ms` (inclusive) to `end_ms` (exclusive)."""
        found = []
        for slot in islice(self.after(start_ms - 1), most):
            if slot >= end_ms:
                break
            found.append(slot)
        return found

    def next(self, ms: int) -> int | None:
        """Return the first slot after `ms`, None if there is none."""
        return next(self.after(ms), None)

    def due(self, slot_ms: int) -> int:
        """Return when the slot fires: later than the slot by its jitter, which its id determines."""
        if not self._jitter_ms:
            return slot_ms
        return slot_ms + int(seeded(slot_id(self.name, slot_ms), "jitter").random() * self._jitter_ms)

    def skippable(self, cursor_ms: int, now_ms: int) -> tuple[int, int]:
        """Return where an interval's slots may still count, and how many lie before, without looking at each."""
        limit = now_ms - self.catch_up_ms - self._jitter_ms - 1
        if self._every_ms is None or limit <= cursor_ms:
            return cursor_ms, 0
        if self._end is not None:
            limit = min(limit, self._end - 1)
        anchor = self._start or 0
        first = max((cursor_ms - anchor) // self._every_ms, -1)  # nothing lies before the anchor
        count = (limit - anchor) // self._every_ms - first
        return (limit, count) if count > 0 else (cursor_ms, 0)

    def _every(self, ms: int) -> Iterator[int]:
        every, anchor = self._every_ms or 1, self._start or 0
        slot = anchor + ((ms - anchor) // every + 1) * every
        while True:
            yield slot
            slot += every

    def _cron(self, ms: int) -> Iterator[int]:
        last = ms
        begin = datetime.fromtimestamp((ms - self._seconds_ms) // 1000, self._zone)
        for found in CronSim(self._expression, begin):
            slot = round(found.timestamp() * 1000) + self._seconds_ms
            if slot > last:  # of two wall times that are one instant, or an instant that was before, only one counts
                last = slot
                yield slot


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the clock found: slots that fire now, how many are too old, and up to where all is decided."""

    due: tuple[int, ...]
    missed: int
    cursor_ms: int
    more: bool  # the look was cut short


def look(slots: Slots, cursor_ms: int, now_ms: int, most: int = MOST) -> Look:
    """Decide the slots after `cursor_ms` whose time has come; one that is later than `catch_up` is missed.

    A slot is decided once: the cursor never goes back, so a clock that does fires nothing twice.
    """
    cursor, missed = slots.skippable(cursor_ms, now_ms)
    due: list[int] = []
    for seen, slot in enumerate(slots.after(cursor)):
        when = slots.due(slot)
        if when > now_ms:
            break
        if seen == most:
            return Look(tuple(due), missed, cursor, more=True)
        if now_ms - when > slots.catch_up_ms:
            missed += 1
        else:
            due.append(slot)
        cursor = slot
    return Look(tuple(due), missed, cursor, more=False)


def _cron(expression: str) -> tuple[str, int]:
    """Return an expression with one fixed second as one of five fields, so that it keeps wall time, and the second."""
    parts = expression.split()
    if len(parts) == 6 and parts[0].isdecimal() and int(parts[0]) < 60:
        return " ".join(parts[1:]), int(parts[0]) * 1000
    return expression, 0


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _ms(moment: datetime, zone: tzinfo) -> int:
    """Return a moment in milliseconds; one without a zone is in the schedule's."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
