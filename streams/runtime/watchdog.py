"""Self-diagnosis: names the function that blocks the event loop, and ends a worker that has silently stopped.

A worker that no longer fetches while its lag grows helps nobody: it says so and exits, and its supervisor starts
another, which is better than a process that looks alive.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.activity import BOARD
from streams.error_text import LIBRARIES
from streams.metrics import LOOP_LAG, Observations
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.errors import WorkerError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.runtime.assignment import SourcePartition
    from streams.runtime.runtime import Runtime

log = logging.getLogger(__name__)


_NOT_USERS: Final = (*LIBRARIES, str(Path(__file__).parents[1]), "<")  # and ours, and <frozen …>, which is the import
_BEAT_S: Final = 0.1
_BLOCKED_S: Final = 1.0
_LOOK_S: Final = 5.0
_STALLED_S: Final = 45.0
_NOT_READY_S: Final = 15.0  # from then on the worker does not count as ready


class StalledError(WorkerError):
    """Raised when the worker has records to read and reads none, for a time that nothing explains."""


class LoopLagWatch:
    """Measures how late the event loop is, from a thread of its own."""

    def __init__(self) -> None:
        """Watch the event loop of this thread."""
        self._beat = clock.monotonic()
        self._stop = threading.Event()
        self._main = threading.get_ident()
        self.worst_s = 0.0
        self._late = Observations(LOOP_LAG)
        self._thread = threading.Thread(target=self._watch, name="streams-watchdog", daemon=True)

    def start(self) -> None:
        """Begin, in the event loop."""
        self._tick()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def collect(self) -> Iterator[Metric]:
        """Yield how late the loop was, looked at ten times a second."""
        yield self._late.family()

    def _tick(self) -> None:
        now = clock.monotonic()
        late = max(now - self._beat - _BEAT_S, 0.0)
        self.worst_s = max(self.worst_s * 0.99, late)
        self._late.observe(late)
        self._beat = now
        BOARD.beat()
        if not self._stop.is_set():
            asyncio.get_running_loop().call_later(_BEAT_S, self._tick)

    def _watch(self) -> None:
        """Log each block once. A process that is stopped, or gets no processor, blocks nothing.

        So a look counts at most its own pause and the processor time that the process has had since the last one.
        """
        logged = seen = late = 0.0
        last, last_used = clock.monotonic(), clock.process_time()
        while not self._stop.wait(_BLOCKED_S / 2):
            now, used, beat = clock.monotonic(), clock.process_time(), self._beat
            passed = min(now - last, _BLOCKED_S / 2 + used - last_used)
            late = late + passed if beat == seen else min(now - beat - _BEAT_S, passed)
            last, last_used, seen = now, used, beat
            if late > _BLOCKED_S and beat != logged:
                logged = beat
                log.warning(
                    "the event loop is blocked for %.1f s by %s: move it into run.step or a thread", late, self._where()
                )

    def _where(self) -> str:
        frame = sys._current_frames().get(self._main)  # noqa: SLF001 - the interpreter's only way to see another thread
        if frame is None:
            return "something that has just ended"
        stack = traceback.extract_stack(frame)
        users = [one for one in stack if not one.filename.startswith(_NOT_USERS)]
        names = [f"{one.name} ({one.filename}:{one.lineno})" for one in (stack[-1], *users[-1:])]
        return " in ".join(dict.fromkeys(names))


class StallWatch:
    """Ends the process when it has stopped reading one of its partitions without a reason.

    Each source is looked at alone: a fetcher may lose one partition, as after the loss of a broker, and go on with the
    others.
    """

    def __init__(
        self,
        runtime: Runtime,
        crash: Callable[[Exception], None],
        on_lag: Callable[[dict[tuple[str, int], int]], None] | None = None,
    ) -> None:
        """Watch `runtime`; `crash` ends the process; `on_lag` is called with the lag of each partition at each look."""
        self._runtime = runtime
        self._crash = crash
        self._lags = ConsumerLag(runtime.settings.client)
        self._turned_at = clock.monotonic()
        self._polls = -1
        self._seen: dict[SourcePartition, tuple[Any, float]] = {}  # where a source was, and since when
        self._on_lag = on_lag
        self.lags: dict[tuple[str, int], int] = {}  # of each topic and partition at the last look that was answered
        self.trouble: str | None = None  # what /readyz says of it

    async def run(self) -> None:
        """Look every five seconds until cancelled."""
        await self._runtime.opened.wait()
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Compare with the last look."""
        self._look_at_thread()
        assignments = [owned for owned in self._runtime.assignments.values() if owned.ready]
        found = await asyncio.to_thread(self._lags.of, assignments)
        if found is None:
            self._seen, self.trouble = {}, None  # the broker does not answer: that explains it
            return
        self.lags = found
        if self._on_lag is not None:
            self._on_lag(found)
        seen, self._seen, held = self._seen, {}, self._runtime.holds_back
        still, worst = 0.0, ""
        for owned in assignments:
            for topic, source in owned.sources.items():
                waiting, at = found.get((topic, owned.partition), 0), (source.applied, source.given, source.end)
                before, since = seen.get(source, (None, 0.0))  # unlike any place, so that it counts from now
                if before != at or waiting == 0 or source.queue or held:
                    since = clock.monotonic()
                self._seen[source] = at, since
                if clock.monotonic() - since > still:
                    still = clock.monotonic() - since
                    where = f"partition {owned.partition} of {topic}"
                    worst = f"{where} was not read for {still:.0f} s while {waiting} records wait"
        self.trouble = worst if still > _NOT_READY_S else None
        if still > _STALLED_S:
            self._crash(StalledError(f"{worst}: this worker ends, to be started again"))

    def _look_at_thread(self) -> None:
        """End the process when the consumer's thread stands still: nothing that a broker does explains that."""
        now, polls = clock.monotonic(), self._runtime.polls
        if polls != self._polls:
            self._polls, self._turned_at = polls, now
        elif now - self._turned_at > _STALLED_S:
            self._crash(
                StalledError(
                    f"the consumer's thread has stood still for {now - self._turned_at:.0f} s: this worker has stopped"
                )
            )
