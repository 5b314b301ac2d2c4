"""Calls user code so that whatever it raises is an `Exception`, and only a cancellation that was asked for is one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar
from weakref import WeakSet

from streams.error_text import error_message, error_type
from streams.errors import UserCodeExit

T = TypeVar("T")
P = ParamSpec("P")

_CANCELLED: WeakSet[asyncio.Task[object]] = WeakSet()


def cancel(task: asyncio.Task[object]) -> None:
    """Cancel a task that runs user code. User code can cancel its own task as well: that is its error, not our wish."""
    _CANCELLED.add(task)
    task.cancel()


def is_cancelled(task: asyncio.Task[object] | None) -> bool:
    """Return whether `cancel` was called for the task."""
    return task is not None and task in _CANCELLED


def called(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a plain function returns; raises UserCodeExit for what is no Exception."""
    try:
        return fn(*args, **kwargs)
    except Exception:
        raise
    except BaseException as error:
        raise user_code_exit(error) from error


async def awaited(work: Awaitable[T]) -> T:
    """Return what `work` gives. Raises UserCodeExit for what is no Exception and is not the end of this task.

    A CancelledError counts as the end of the task while a request to cancel it is pending (`Task.cancelling`): of its
    owner or of a time-out around it. Without one it is from something else that the user code awaited.
    """
    task = asyncio.current_task()
    try:
        return await work
    except Exception:
        raise
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        raise user_code_exit(error) from error
    except BaseException as error:
        if is_closed(error, task):
            raise
        raise user_code_exit(error) from error


def outside_tasks(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function as if no task ran. An agent's function is driven inside whichever task has news for its run.

    `asyncio.timeout` or a cancel scope in it would take hold of that task, and cancel it later.
    """
    task = _current_task()
    if task is None:
        return fn(*args, **kwargs)
    loop = task.get_loop()
    asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - for other kinds of tasks
    try:
        return fn(*args, **kwargs)
    finally:
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001


def is_closed(error: BaseException, task: asyncio.Task[object] | None) -> bool:
    """Return whether a GeneratorExit comes from the end of the coroutine of `task`, which runs no more."""
    return issubclass(type(error), GeneratorExit) and _current_task() is not task


def user_code_exit(error: BaseException) -> UserCodeExit:
    """Return the error to raise, with `error` as its cause."""
    return UserCodeExit(f"{error_type(error)}: {error_message(error)}", error)


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs: the interpreter collects what is left
        return None
