"""An event loop that waits through the scheduler; everything else of it is asyncio's own."""

from __future__ import annotations

import asyncio
import signal
import threading
from asyncio import base_events, events
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from tests.simulation.scheduler import NS, Scheduler, SimThread

_numbers = count()


class SimTask(asyncio.Task):  # type: ignore[type-arg]
    """A task whose place in a set does not depend on its address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(_numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future):  # type: ignore[type-arg]
    """A future whose place in a set does not depend on its address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.number = next(_numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self.number


class _Selector:
    """Waits until something is handed over from another thread, or for a time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._rung = False
        self._thread: SimThread | None = None

    def select(self, timeout: float | None) -> list[Any]:
        scheduler = self._scheduler
        if timeout is not None and timeout <= 0:
            scheduler.pass_on()
        elif not self._rung:
            self._thread = scheduler.current
            scheduler.park(None if timeout is None else scheduler.now_ns + max(round(timeout * NS), 1))
            self._thread = None
        self._rung = False
        return []

    def ring(self) -> None:
        self._rung = True
        if self._thread is not None:
            self._scheduler.unpark(self._thread)


class SimLoop(base_events.BaseEventLoop):
    """The event loop of one simulated process."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._selector = _Selector(scheduler)
        self._clock_resolution = 1e-9
        self._signals: dict[int, Callable[[], Any]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def run_forever(self) -> None:
        """Run until stopped; hooks of asynchronous generators are the run's, since all loops share one real thread."""
        self._check_closed()  # type: ignore[attr-defined]
        self._thread_id = threading.get_ident()
        events._set_running_loop(self)
        try:
            while not self._stopping:  # type: ignore[has-type]
                self._run_once()  # type: ignore[attr-defined]
        finally:
            self._stopping = False
            self._thread_id = None  # type: ignore[assignment]
            events._set_running_loop(None)

    def time(self) -> float:
        return self._scheduler.monotonic_ns() / NS

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None
    ) -> Any:
        self._check_closed()  # type: ignore[attr-defined]
        return SimTask(coro, loop=self, name=name, context=context)

    def create_future(self) -> Any:
        return SimFuture(loop=self)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._scheduler.pass_on()
        return handle

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        if executor is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(32, thread_name_prefix="asyncio")
            executor = self._threads
        return super().run_in_executor(executor, func, *args)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self._signals[sig] = lambda: callback(*args)

    def terminate(self) -> None:
        """Deliver SIGTERM; called by the scheduler."""
        handler = self._signals.get(signal.SIGTERM)
        if handler is not None:
            self._ready.append(asyncio.Handle(handler, (), self))  # type: ignore[attr-defined]
            self._selector.ring()

    def post(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back in the loop; called by the scheduler, which cannot be interrupted."""
        self._ready.append(asyncio.Handle(callback, args, self))  # type: ignore[attr-defined]
        self._selector.ring()

    def _write_to_self(self) -> None:
        self._selector.ring()

    def _process_events(self, _events: Any) -> None:
        return
