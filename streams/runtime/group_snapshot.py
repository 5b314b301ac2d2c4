"""Who we are in the group, and what we own: usable in a transaction only together."""

from __future__ import annotations

from dataclasses import dataclass

from streams.runtime.assignment import Slice


@dataclass(frozen=True, slots=True)
class Pair:
    """Group metadata and the slices that were live when it was taken."""

    metadata: object
    live: frozenset[Slice]
