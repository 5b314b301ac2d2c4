"""What the committer needs: the owner of the assignments, and a transactional producer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import Out
    from streams.runtime.group_snapshot import GroupSnapshot


class AssignmentOwner(Protocol):
    """What the committer asks of the consumer's side."""

    @property
    def snapshot(self) -> GroupSnapshot:
        """The latest metadata and live assignments."""

    async def next_snapshot(self) -> None:
        """Wait for a younger snapshot."""

    def release(self, weight: int) -> None:
        """Return the credit of records of this weight that are done with."""

    def renew(self, old: PartitionAssignment) -> None:
        """Read an assignment again from what is committed."""


class Transactor(Protocol):
    """What commits: `streams.runtime.transactions.TransactionalProducer` is one. All calls block."""

    def open(self) -> None:
        """Fence a predecessor."""

    def commit(
        self,
        outs: Sequence[Out],
        offsets: dict[tuple[str, int], int],
        metadata: object,
        changelogs: frozenset[str],
        *,
        careful: bool = False,
    ) -> dict[tuple[str, int], int]:
        """Commit records and offsets; return the next offset of each changelog partition written."""

    def stuck(self) -> bool:
        """Return whether the transaction under way is older than the broker lets it be (any thread)."""

    def lost(self) -> bool:
        """Return whether the client has lost the cluster for good (any thread but the commit's); may block."""
