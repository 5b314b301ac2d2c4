"""Paired statistics: what the candidate changes, run by run, with an interval that says how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import fsum
from typing import Final

LEVEL: Final = 0.95
_RESAMPLES: Final = 4_999
_SEED: Final = 20_240_601  # equal data give equal intervals


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Means of both lanes over the same runs and their difference; `low` to `high` is its 95 % confidence interval.

    Without scipy, and for fewer than two runs, there is no interval.
    """

    runs: int
    baseline: float
    candidate: float
    difference: float
    low: float | None = None
    high: float | None = None


def paired(pairs: Sequence[tuple[float, float]]) -> PairedDifference | None:
    """Return what is known of pairs of baseline and candidate, None for none."""
    if not pairs:
        return None
    count = len(pairs)
    before, after = fsum(one for one, _ in pairs) / count, fsum(one for _, one in pairs) / count
    low, high = _interval(pairs) if count > 1 and has_scipy() else (None, None)
    return PairedDifference(count, before, after, after - before, low, high)


def has_scipy() -> bool:
    """Return whether intervals can be computed: scipy comes with `streams[backtest]`."""
    return find_spec("scipy") is not None


def _interval(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    if all(value in (0.0, 1.0) for pair in pairs for value in pair):
        return _interval_of_shares(pairs)
    changes = [after - before for before, after in pairs]
    if min(changes) == max(changes):
        return changes[0], changes[0]
    return _bootstrap(changes)


def _interval_of_shares(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the interval of Agresti and Min for a difference of shares in matched pairs.

    It has a width also where no run changed: a hundred equal runs do not prove that the next one is equal.
    """
    from scipy.stats import norm  # noqa: PLC0415 - an extra, and slow to import

    better = sum(after > before for before, after in pairs) + 0.5
    worse = sum(after < before for before, after in pairs) + 0.5
    count = len(pairs) + 2
    difference = (better - worse) / count
    error = float(norm.ppf(0.5 + LEVEL / 2)) * ((better + worse) / count - difference**2) ** 0.5 / count**0.5
    return max(difference - error, -1.0), min(difference + error, 1.0)


def _bootstrap(changes: Sequence[float]) -> tuple[float, float]:
    """Return the percentile interval of the mean change; it needs no distribution, and costs are skewed."""
    from scipy.stats import bootstrap  # noqa: PLC0415 - an extra, and slow to import

    found = bootstrap(
        (changes,),
        lambda values, axis: values.mean(axis=axis),
        n_resamples=_RESAMPLES,
        batch=max(1, 2_000_000 // len(changes)),
        confidence_level=LEVEL,
        method="percentile",
        rng=_SEED,
    ).confidence_interval
    return float(found.low), float(found.high)


def pass_at(count: int, passed: int, k: int) -> float:
    """Return the probability that one of `k` tries passes, estimated without bias from `passed` of `count` tries."""
    if count - passed < k:
        return 1.0
    missed = 1.0
    for number in range(count - passed + 1, count + 1):
        missed *= 1.0 - k / number
    return 1.0 - missed
