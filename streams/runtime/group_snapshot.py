"""Group metadata and live assignments of one moment: a transaction may use them only together."""

from __future__ import annotations

from dataclasses import dataclass

from streams.runtime.assignment import PartitionAssignment


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Group metadata and the assignments that were live when it was taken."""

    metadata: object
    live: frozenset[PartitionAssignment]
