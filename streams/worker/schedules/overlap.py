"""Which waiting slots start now and which are given up, as a schedule's `overlap` says. Pure.

A slot overlaps with the slot before it while a run that the earlier one started has not ended, or while the earlier
one's function has been running (or failing, between attempts) for a second and did so when the slot came. Slots that
are caught up after a gap wait for each other's functions, which is no overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streams.worker.schedules.schedule_state import CLOCK, DueSlot, ScheduleProgress

if TYPE_CHECKING:
    from schemas.schedule import ScheduleRun
    from streams.define.schedules import Overlap

LONG_MS: Final = 1000


@dataclass(slots=True)
class OverlapDecision:
    """What happens next: functions to start, slots that are skipped, runs to cancel, a function to stop."""

    start: list[DueSlot] = field(default_factory=list)
    drop: list[DueSlot] = field(default_factory=list)
    cancel: list[ScheduleRun] = field(default_factory=list)
    stop: DueSlot | None = None


def turn(state: ScheduleProgress, overlap: Overlap, now_ms: int) -> OverlapDecision:
    """Return the next turn; what a person asked for (trigger, backfill) starts whatever runs.

    `now_ms` is by the steady clock, as the due times of attempts are: slots alone go by the wall clock.
    """
    made = OverlapDecision()
    clock = [entry for entry in state.waiting if entry.cause == CLOCK]
    made.start = [entry for entry in state.waiting if entry.cause != CLOCK and _idle(entry, now_ms)]
    if overlap == "allow":
        made.start += [entry for entry in clock if _idle(entry, now_ms)]
    elif clock and clock[0].first_ms is not None:
        _behind_function(made, clock[0], clock[1:], overlap, now_ms)
        if _idle(clock[0], now_ms):
            made.start.append(clock[0])
    elif clock and state.running:
        _behind_runs(made, clock, state.running, overlap)
    elif clock and _idle(clock[0], now_ms):
        made.start.append(clock[0])
    return made


def _behind_function(
    made: OverlapDecision, first: DueSlot, others: list[DueSlot], overlap: Overlap, now_ms: int
) -> None:
    begun = first.first_ms or 0
    if now_ms - (first.since_ms or 0) < LONG_MS:
        return
    came = [entry for entry in others if entry.slot_ms > begun]
    if overlap == "skip":
        made.drop = came
    elif overlap == "buffer_one":
        made.drop = came[1:]
    elif overlap == "cancel_other" and came:
        made.stop = first if first.began_ms is not None else None
        made.drop = came[:-1]


def _behind_runs(made: OverlapDecision, clock: list[DueSlot], running: list[ScheduleRun], overlap: Overlap) -> None:
    if overlap == "skip":
        made.drop = clock
    elif overlap == "buffer_one":
        made.drop = clock[1:]
    elif overlap == "cancel_other":
        made.drop = clock[:-1]
        made.cancel = list(running)


def _idle(entry: DueSlot, now_ms: int) -> bool:
    return entry.began_ms is None and entry.due_ms <= now_ms
