"""What happened in a run, line by line, with a digest that tells two runs apart."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, deque

from tests.simulation.scheduler import Scheduler


class Trace(logging.Handler):
    """Keeps the last lines, counts events, and digests all of it; prints while it goes when told so."""

    def __init__(self, scheduler: Scheduler, *, printed: bool, kept: int = 400) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._printed = printed
        self._digest = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=kept)
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []

    def note(self, kind: str, text: str = "") -> None:
        """Note something that the simulator did or saw."""
        self.counts[kind] += 1
        self._line(f"{kind:<12} {text}")

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the product's log."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" [{record.exc_info[1]!r}]"
        if record.name == "asyncio" and record.levelno >= logging.ERROR:
            self.errors.append(f"{self._scheduler.now:.3f} {text}")
        self._line(f"{record.levelname.lower():<12} {record.name}: {text}")

    def digest(self) -> str:
        """Return the digest of all lines."""
        return self._digest.hexdigest()[:16]

    def _line(self, text: str) -> None:
        scheduler = self._scheduler
        line = f"{scheduler.now:12.6f} {scheduler.process.name:<10} {text}"
        self._digest.update(line.encode("utf-8", "replace"))
        self.lines.append(line)
        if self._printed:
            print(line, flush=True)
