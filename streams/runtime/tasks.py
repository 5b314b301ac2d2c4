"""The one maker of tasks: it keeps their references, and no error of theirs passes in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from streams.user_code import cancel, user_code_exit


class BackgroundTasks:
    """Background tasks of one owner."""

    def __init__(self, crash: Callable[[Exception], None]) -> None:
        """Report an error that escapes a task to `crash`."""
        self._crash = crash
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `coroutine` until it ends or `stop`."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel what still runs and wait for it."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            cancel(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:  # a BaseException ends the event loop too, and the process must not outlive that
            self._crash(error if isinstance(error, Exception) else user_code_exit(error))
