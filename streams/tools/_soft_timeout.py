"""The time of one attempt: softly first, so that an async function may save and clean up, then by cancelling it.

Celery's words for the two are soft and hard time limit; here the hard one is the soft one plus a grace.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from streams.define.signatures import underlying
from streams.engine.marks import GRACE_MS
from streams.errors import SoftTimeout
from streams.tools.errors import ToolTimeoutError

if TYPE_CHECKING:
    from streams.engine.decision import Perform

T = TypeVar("T")

GRACE_S: Final = GRACE_MS / 1000  # between SoftTimeout and the hard end, as in stages and runs


def hard_limit(fn: Callable[..., Any] | None, timeout: float | None) -> float | None:
    """Return the seconds after which an attempt is cancelled: only an async function gets an error before."""
    if timeout is None or fn is None or not inspect.iscoroutinefunction(underlying(fn)):
        return timeout
    return timeout + GRACE_S


def hard_limit_of(perform: Perform) -> float | None:
    """Return the same for what a run asks for; a model call has nothing of the user's to clean up."""
    if perform.kind == "llm":
        return perform.timeout
    return hard_limit(perform.fn if perform.tool is None else perform.tool.fn, perform.timeout)


async def softly(work: Awaitable[T], timeout: float | None, what: str) -> T:
    """Return what `work` gives; after `timeout` seconds SoftTimeout is raised at its current await, once.

    It may then take as long as whoever calls allows it, and what it returns counts. Raises TimeoutError, caused by the
    SoftTimeout, when `work` lets that pass, and whatever else `work` raises.
    """
    if timeout is None:
        return await work
    soft = SoftTimeout(f"{what} took longer than {timeout:g} s: save and clean up")
    softened = _Softened(work, soft)
    handle = asyncio.get_running_loop().call_later(timeout, softened.interrupt)
    try:
        return await softened
    except BaseException as error:
        if _is_or_holds(error, soft):
            raise TimeoutError(f"{what} took longer than its {timeout:g} s") from soft
        raise
    finally:
        handle.cancel()


def out_of_time(error: BaseException) -> bool:
    """Return whether an error says that an attempt was ended by its time, and not that something else timed out."""
    return isinstance(error, ToolTimeoutError) or (
        isinstance(error, TimeoutError) and isinstance(error.__cause__, SoftTimeout)
    )


def _is_or_holds(error: BaseException, soft: SoftTimeout) -> bool:
    """Return whether an error is the soft time-out, or a task group's that is made of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_or_holds(one, soft) for one in error.exceptions)
    return error is soft


class _Softened(Generic[T]):
    """Awaits `work` in the caller's task; cancels what it waits for and hands it `soft` in place of the cancellation.

    A task can only be cancelled from outside, so this stands between the task and the work. Whoever really cancels the
    task meanwhile still gets it.
    """

    __slots__ = ("_asked", "_soft", "_task", "_work")

    def __init__(self, work: Awaitable[T], soft: SoftTimeout) -> None:
        self._work = work
        self._soft = soft
        self._asked = False  # the task was cancelled by `tell`, and the work does not know yet
        self._task: asyncio.Task[Any] | None = None

    def interrupt(self) -> None:
        """Interrupt the work at its current await, unless its task is being cancelled anyway."""
        task = self._task
        if task is not None and not task.cancelling():
            self._asked = True
            task.cancel()

    def __await__(self) -> Generator[Any, Any, T]:
        self._task = asyncio.current_task()
        inner = self._work.__await__()
        step: Callable[[], Any] = partial(next, inner)
        while True:
            try:
                waits_for = step()
            except StopIteration as stop:
                self._take_back()
                result: T = stop.value
                return result
            except BaseException:
                self._take_back()
                raise
            try:
                sent = yield waits_for
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is passed on
                step = partial(inner.throw, self._take_back() or error)
            else:
                soft = self._take_back()  # what it waited for would not be cancelled: then at the next await
                step = partial(inner.send, sent) if soft is None else partial(inner.throw, soft)

    def _take_back(self) -> SoftTimeout | None:
        """Return what to raise in place of our own cancellation, if it is under way and nobody else's is."""
        task = self._task
        if not self._asked or task is None:
            return None
        self._asked = False
        return self._soft if task.uncancel() == 0 else None
