"""Who we are in the group, and what we own: usable in a transaction only together."""

from __future__ import annotations

from dataclasses import dataclass

from streams.runtime.assignment import PartitionAssignment


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Group metadata and the slices that were live when it was taken."""

    metadata: object
    live: frozenset[PartitionAssignment]
