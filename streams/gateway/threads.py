"""Blocking reads of the log, in a pool of threads of their own; a read that nobody waits for is ended."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from streams.gateway.problem import Problem
from streams.gateway.submit import wrong
from streams.query.history import PositionError
from topics.errors import ReadCancelledError, TopicError
from topics.reader import cancellable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from starlette.types import Receive

    from streams.gateway.operation import OperationCall

    T = TypeVar("T")

_AT_ONCE: Final = 6
"""Reads at the same time; each holds a consumer and a thread."""

_SHARE: Final = 4
"""Reads of one API key at the same time, so that its slow reads do not stop those of other keys."""

_PATIENCE: Final = 20.0
"""Seconds for one read with its wait for a thread: a filter that finds nothing may read a whole topic."""


class GatewayThreads:
    """The threads of one gateway in which the log is read."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read")
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, work: Callable[[], T], call: OperationCall, *, watch: bool = False) -> T:
        """Return what `work` returns; Problem 422 for a position that is none, 503 where the log does not answer.

        When time is up, the request is cancelled or, with `watch`, its client has gone, a read that waits for a thread
        never begins, and one under way ends at its next batch: neither holds a thread for somebody who has gone.
        `watch` is for requests whose body has been read and that do not stream their answer.
        """
        cancelled = threading.Event()
        try:
            async with asyncio.timeout(_PATIENCE):
                reading = self._read(partial(_unless_cancelled, work, cancelled), call)
                return await (_unless_gone(reading, call.receive) if watch else reading)
        except PositionError as error:
            raise wrong("from", str(error).rstrip(".")) from error
        except TimeoutError:
            raise Problem(
                "log-unavailable", "The page took too long; narrow it by from, to or key.", retry_after=1
            ) from None
        except TopicError as error:
            raise Problem("log-unavailable", "The log cannot be read at the moment.", retry_after=1) from error
        finally:
            cancelled.set()

    async def _read(self, read: Callable[[], T], call: OperationCall) -> T:
        """Run `read` in a thread, within the share of the caller's key."""
        name = call.caller.name if call.caller is not None else ""
        async with self._shares.setdefault(name, asyncio.Semaphore(_SHARE if name else _AT_ONCE)):
            return await asyncio.get_running_loop().run_in_executor(self._pool, read)


async def _unless_gone(read: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Return the outcome of `read`; ReadCancelledError as soon as its client has gone."""
    try:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_raise_when_gone(receive))
            found = await read
            watch.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return found


async def _raise_when_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ReadCancelledError("the client has gone")


def _unless_cancelled(work: Callable[[], T], cancelled: threading.Event) -> T:
    if cancelled.is_set():
        raise ReadCancelledError("nobody waits for the read any more")
    with cancellable(cancelled):
        return work()
