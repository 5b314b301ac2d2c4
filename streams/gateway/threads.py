"""Blocking reads of the log, in a pool of threads of their own; a read that nobody waits for is ended."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from streams.gateway.problem import LOG_UNAVAILABLE, invalid_request
from streams.query.history import PositionError
from topics.errors import ReadCancelledError, TopicError
from topics.reader import cancellable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_AT_ONCE: Final = 4
"""Reads at the same time; each holds a consumer and a thread."""

_PATIENCE: Final = 20.0
"""Seconds for one read with its wait for a thread: a filter that finds nothing may read a whole topic."""


class GatewayThreads:
    """The threads of one gateway in which the log is read."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read")

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; Problem 422 for a position that is none, 503 where the log does not answer.

        When time is up or the request is cancelled, a read that waits for a thread never begins, and one under way
        ends at its next batch: neither holds a thread for somebody who has gone.
        """
        cancelled = threading.Event()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.get_running_loop().run_in_executor(self._pool, partial(_read, work, cancelled))
        except PositionError as error:
            raise invalid_request("from", str(error).rstrip(".")) from error
        except TimeoutError:
            raise LOG_UNAVAILABLE("The page took too long; narrow it by from, to or key.", retry_after=1) from None
        except TopicError as error:
            raise LOG_UNAVAILABLE("The log cannot be read at the moment.", retry_after=1) from error
        finally:
            cancelled.set()


def _read(work: Callable[[], T], cancelled: threading.Event) -> T:
    if cancelled.is_set():
        message = "nobody waits for the read any more"
        raise ReadCancelledError(message)
    with cancellable(cancelled):
        return work()
