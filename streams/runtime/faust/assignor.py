"""What Faust asks of an assignor; the broker assigns (KIP-848) and changelogs follow their partition number."""

from __future__ import annotations

from typing import Any

from faust.types import TP
from faust.types.assignor import PartitionAssignorT


class Assignor(PartitionAssignorT):
    """Answers from the assignments that the runtime owns."""

    app: Any

    def __init__(self, app: Any, replicas: int = 0) -> None:
        """Answer for `app`; standbys are the runtime's own."""
        self.app = app
        self.replicas = replicas

    def group_for_topic(self, topic: str) -> int:
        """All topics are co-partitioned in one group."""
        return 0

    def assigned_actives(self) -> set[TP]:
        """Return owned source and changelog partitions."""
        assignments = self.app.runtime.assignments.values()
        stores = {TP(store.topic, one.partition) for one in assignments for store in one.stores.values()}
        owned: set[TP] = self.app.consumer.assignment()
        return owned | stores

    def assigned_standbys(self) -> set[TP]:
        """Return nothing."""
        return set()

    def is_active(self, tp: TP) -> bool:
        """Return whether this worker owns the partition number."""
        return tp.partition in self.app.runtime.assignments

    def is_standby(self, tp: TP) -> bool:
        """Return False."""
        return False

    def key_store(self, topic: str, key: bytes) -> Any:
        """Refuse: the owner of a key is found through the workers' heartbeats."""
        raise KeyError("ask `streams.query.owners` who owns a key")

    def table_metadata(self, topic: str) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def tables_metadata(self) -> dict[str, Any]:
        """Return nothing."""
        return {}
