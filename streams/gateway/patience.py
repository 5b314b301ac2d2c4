"""A time-out that costs nothing for what is there already: a timer is set only once there is something to wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; TimeoutError when it takes longer than `seconds`.

    Most bodies have come with their headers: then `work` ends at its first step, and the timer, which costs as much as
    the signature of a small body, is saved.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    async with asyncio.timeout(seconds):
        rest: T = await _Rest(work, waits_for)
        return rest


class _Rest:
    """What is left of a coroutine that has taken its first step and waits."""

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        step = self._waits_for
        try:
            while True:
                try:
                    sent = yield step
                except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the coroutine, as everything does
                    step = self._work.throw(error)
                else:
                    step = self._work.send(sent)
        except StopIteration as end:
            return end.value
