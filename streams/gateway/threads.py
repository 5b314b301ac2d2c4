"""Blocking reads of the log, a few at a time in threads, with what can go wrong as problems."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streams.gateway.problem import Problem
from streams.gateway.submit import wrong
from streams.query.history import PositionError
from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_AT_ONCE: Final = 4
"""Reads at the same time; each holds a consumer and a thread."""

_PATIENCE: Final = 20.0
"""Seconds for one read: a filter that finds nothing may read a whole topic."""


class Threads:
    """The threads of one gateway in which the log is read."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; Problem 422 for a position that is none, 503 where the log does not answer."""
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                return await asyncio.to_thread(work)
        except PositionError as error:
            raise wrong("from", str(error).rstrip(".")) from error
        except TimeoutError:
            raise Problem(
                "log-unavailable", "The page took too long; narrow it by from, to or key.", retry_after=1
            ) from None
        except TopicError as error:
            raise Problem("log-unavailable", "The log cannot be read at the moment.", retry_after=1) from error
