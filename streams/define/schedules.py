"""The `@schedule` decorator: what the clock starts, with the rules for slots that were missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from streams.define.signatures import doc_of, where
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
    """Make a schedule of a function; raise DefinitionError unless exactly one of cron and every is given."""

    def make(fn: Callable[[], Any]) -> Schedule:
        if (cron is None) == (every is None):
            raise DefinitionError(f'{where(fn)}: give either cron="0 2 * * *" or every=minutes(5)')
        if every is not None and every <= 0:
            raise DefinitionError(f"{where(fn)}: every= is a positive number of seconds")
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
