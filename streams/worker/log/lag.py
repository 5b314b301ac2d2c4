"""How far slices are behind the end of their sources, by committed records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from streams.worker.log.config import Config
    from streams.worker.state.slice import Slice


class Lag:
    """Asks the broker how far slices are behind; keeps its connection."""

    def __init__(self, client: Config) -> None:
        """Connect lazily, as `client` says."""
        self._client = client
        self._admin: AdminClient | None = None

    def of(self, slices: Sequence[Slice]) -> dict[tuple[str, int], int] | None:
        """Return the lag of each source partition in records, None while the broker does not answer; blocks.

        A commit marker takes an offset, too: a source whose last record is transactional would show a lag of one for
        ever, so one is taken off.
        """
        places = {
            TopicPartition(topic, one.partition): source for one in slices for topic, source in one.sources.items()
        }
        if not places:
            return {}
        if self._admin is None:
            self._admin = AdminClient(self._client, logger=None)
        latest = dict.fromkeys(places, OffsetSpec.latest())
        try:
            futures = self._admin.list_offsets(latest, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=5)
            return {
                (place.topic, place.partition): max(future.result(6).offset - max(places[place].applied, 0) - 1, 0)
                for place, future in futures.items()
            }
        except (KafkaException, TimeoutError):
            return None
