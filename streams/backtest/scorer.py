"""What gives scores to a run, and what it sees of it.

A score is a number, better if higher; True and False are 1 and 0. Baseline and candidate get the same scores, so that
they can be compared run by run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streams.backtest.errors import BacktestError


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """What a scorer sees of a run in one lane: `expected` is the result that was observed, `output` that of the lane.

    `status` is succeeded, failed, cancelled or unanswered; `output` is None unless it is succeeded.
    """

    run_id: str
    input: Any
    expected: Any
    output: Any
    status: str
    error: Any
    seconds: float
    cost_usd: float


class Scorer(Protocol):
    """Returns scores by name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its scores."""

    async def score(self, run: ScoredRun) -> Mapping[str, float | None]:
        """Return the scores of a run; None for one that there is not."""


def number(value: Any, name: str, run_id: str) -> float | None:
    """Return a score as a number; raise BacktestError for what is none."""
    if value is None:
        return None
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise BacktestError(f"score {name} gave {value!r} for run {run_id}: return a number, a truth value or None")


def identifier(text: str) -> str:
    """Return a name that a gate can use."""
    name = re.sub(r"\W+", "_", text).strip("_") or "score"
    return name if not name[0].isdecimal() else f"_{name}"
