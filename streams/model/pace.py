"""Keeps to what an endpoint says of its limits: how many calls at once, and when it wants to be asked again."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.define.pauses import LONGEST_TEXT, retry_after, seconds
from streams.model.errors import ModelBusyError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_S: Final = 60.0  # a longer pause is not waited for in memory: the call fails, and its run knows until when
KINDS: Final = ("requests", "tokens")
LONGEST_ASKED_S: Final = 86_400.0  # of what an endpoint may ask for: quotas are by the day at most
_SPAN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SPANS: Final = re.compile(rf"(?:{_SPAN.pattern})+")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class RequestPace:
    """The pace of one endpoint in one worker, shared by all its calls, so that a pause holds for all of them."""

    def __init__(self, concurrency: int = 0) -> None:
        """Let `concurrency` calls go at once; 0 is any number."""
        self._places = asyncio.Semaphore(concurrency) if concurrency else None
        self._again = float("-inf")

    async def enter(self) -> None:
        """Take a place for a call until `leave`, once a pause is over; ModelBusyError, and no place, for a long one."""
        if self._places is None:
            await self._pause()
            return
        await self._places.acquire()
        try:
            await self._pause()
        except BaseException:
            self._places.release()
            raise

    def leave(self) -> None:
        """Release the permit."""
        if self._places is not None:
            self._places.release()

    def observe(self, headers: Mapping[str, str], *, refused: bool) -> float | None:
        """Take in an answer's headers; return the pause in seconds that they ask for, if any.

        `retry-after` (seconds or a date) and `retry-after-ms` count when the request was `refused`; in any answer,
        `x-ratelimit-remaining-*: 0` means a pause of `x-ratelimit-reset-*`, as OpenAI documents them.
        """
        pause = retry_after(headers, LONGEST_ASKED_S) if refused else None
        if pause is None:
            pause = _exhausted(headers)
        if pause is not None:
            self._again = max(self._again, clock.monotonic() + pause)
        return pause

    async def _pause(self) -> None:
        while (left := self._again - clock.monotonic()) > 0:
            if left > LONGEST_S:
                raise ModelBusyError(f"The model endpoint asked for a pause; {left:.0f} s of it are left.", after=left)
            await asyncio.sleep(left)


def _exhausted(headers: Mapping[str, str]) -> float | None:
    pauses = [
        span(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in KINDS
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0"
    ]
    found = [pause for pause in pauses if pause is not None]
    return max(found, default=None)


def span(text: str) -> float | None:
    """Return the seconds of `1s`, `6m0s` or `20ms`, as OpenAI writes them; a bare number is seconds.

    What is none of that is unknown: None.
    """
    found = seconds(text)
    if found is not None:
        return min(found, LONGEST_ASKED_S)
    if _SPANS.fullmatch(text.strip()[:LONGEST_TEXT]) is None:
        return None
    return min(sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text)), LONGEST_ASKED_S)
