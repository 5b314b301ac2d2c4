"""The `@schedule` decorator: what the clock starts, with the rules for slots that were missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from streams.define.options import check, decorator, duration, instance, no_generator, one_of, optional, pause, text
from streams.define.signatures import doc_of, parameters_of, where
from streams.errors import DefinitionError

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A function that the clock calls; one record in `ticks` for each slot.

    `every`, `catch_up` and `jitter` are seconds; a slot missed for longer than `catch_up` is skipped and counted.
    """

    name: str
    fn: Callable[[], Any]
    cron: str | None = None
    every: float | None = None
    tz: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: float = 60.0
    jitter: float = 0.0
    start: datetime | None = None
    end: datetime | None = None
    doc: str = ""

    def __call__(self) -> Any:
        """Call the function itself, for tests."""
        return self.fn()

    def __repr__(self) -> str:
        return f"<schedule {self.name}>"


@decorator('@schedule(cron="0 2 * * *") or @schedule(every=minutes(5))')
def schedule(
    *,
    cron: str | None = None,
    every: float | None = None,
    tz: str = "UTC",
    overlap: Overlap = "skip",
    catch_up: float = 60.0,
    jitter: float = 0.0,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Callable[[Callable[[], Any]], Schedule]:
    """Make a schedule of a function without arguments, with either `cron` in the zone `tz` or `every` so many seconds.

    `cron` is an expression of minute, hour, day, month and weekday, with a second in front if you like. `every` is
    the seconds from slot to slot. `tz` is the time zone of `cron`. `overlap` says what happens when the run of the
    slot before has not ended: skip, buffer_one, buffer_all, cancel_other or allow. `catch_up` is for how many seconds
    a slot that was missed is still fired; later it is skipped and counted. `jitter` is by how many seconds at most a
    slot is late at random. `start` is the first time at which there is a slot. `end` is the time from which on there
    is none.

    Raises DefinitionError, with file and line.
    """

    def make(fn: Callable[[], Any]) -> Schedule:
        if (cron is None) == (every is None):
            raise DefinitionError(f'{where(fn)}: give either cron="0 2 * * *" or every=minutes(5)')
        no_generator(fn, "a schedule")
        if any(one.default is one.empty and one.kind < one.VAR_POSITIONAL for one in parameters_of(fn)):
            raise DefinitionError(f"{where(fn)}: a schedule is a function without arguments")
        check(
            fn,
            cron=(cron, optional(text)),
            every=(every, optional(duration)),
            tz=(tz, text),
            overlap=(overlap, one_of(*get_args(Overlap))),
            catch_up=(catch_up, pause),
            jitter=(jitter, pause),
            start=(start, optional(instance(datetime, "datetime(2026, 1, 1, tzinfo=UTC)"))),
            end=(end, optional(instance(datetime, "datetime(2027, 1, 1, tzinfo=UTC)"))),
        )
        if cron is not None:
            _check_cron(cron, fn)
        try:
            ZoneInfo(tz)
        except (KeyError, ValueError, OSError) as error:
            raise DefinitionError(f"{where(fn)}: {tz!r} is no time zone, write one as Europe/Paris") from error
        return Schedule(fn.__name__, fn, cron, every, tz, overlap, catch_up, jitter, start, end, doc_of(fn))

    return make


def _check_cron(cron: str, fn: Callable[[], Any]) -> None:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - `import streams` stays light

    try:
        CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise DefinitionError(
            f"{where(fn)}: {cron!r} is no cron expression ({error}): minute hour day month weekday, "
            "with a second in front if you like"
        ) from error
