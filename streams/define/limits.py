"""Rates as users write them (`"60/m"`), read once, so that every limiter works with numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from streams.errors import DefinitionError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"^\s*(\d+)\s*/\s*(\d*)\s*([smhd])\s*$")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any window of `per` seconds, over all workers.

    `host` names an argument of a tool that is a URL: each host has windows of its own, so that many calls to one host
    do not make calls to other hosts wait.
    """

    count: int
    per: float
    host: str | None = None

    def __str__(self) -> str:
        return f"{self.count}/{self.per:g}s"

    @classmethod
    def of(cls, text: str | Rate | None) -> Rate | None:
        """Read `"60/m"`, `"30/60s"` or a Rate; raise DefinitionError for anything else."""
        if text is None or isinstance(text, Rate):
            return text
        found = _RATE.match(text) if isinstance(text, str) else None
        if found is None or int(found[1]) == 0:
            raise DefinitionError(f'Rate {text!r} is not readable: write COUNT/UNIT, as in "60/m", "5/s" or "30/60s"')
        return cls(int(found[1]), float(found[2] or 1) * _UNITS[found[3]])


def rate_text(value: Any) -> str | None:
    """Return what to write in place of a rate that is none, or None."""
    try:
        Rate.of(value)
    except DefinitionError:
        return 'COUNT/UNIT, as in "60/m", "5/s" or "30/60s"'
    return None
