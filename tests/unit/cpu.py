"""Ends a test that computes for too long: a bound of CPU time, so that a busy machine fails nobody."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class TooLongError(Exception):
    """Raised in the middle of what computes."""


@contextmanager
def cpu_seconds(most: float) -> Iterator[None]:
    """Raise TooLongError once this process has computed for `most` seconds; regular expressions let it through."""

    def over(*_: object) -> None:
        raise TooLongError(f"more than {most:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
