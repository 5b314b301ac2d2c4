"""How far assignments are behind the end of their sources, by the position that the consumer has reached there.

Markers and aborted records take offsets and are delivered to nobody: by the last record alone, a source that ends with
some of them would show a lag for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.client_config import Config


_ANSWER_S: Final = 6.0  # longer than the request may take


class ConsumerLag:
    """Asks the broker how far assignments are behind; keeps its connection as long as it answers."""

    def __init__(self, client: Config) -> None:
        """Connect lazily, as `client` says."""
        self._client = client
        self._admin: AdminClient | None = None

    def of(self, assignments: Sequence[PartitionAssignment]) -> dict[tuple[str, int], int] | None:
        """Return the lag of each source partition in offsets, None while the broker does not answer; blocks.

        After a failure the next question is asked by a new client: one that has got a list without brokers (from a lone
        broker that has just come back) never asks again (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        places = {
            TopicPartition(topic, one.partition): source for one in assignments for topic, source in one.sources.items()
        }
        if not places:
            return {}
        if self._admin is None:
            self._admin = AdminClient(self._client, logger=None)
        latest = dict.fromkeys(places, OffsetSpec.latest())
        try:
            futures = self._admin.list_offsets(latest, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=5)
            return {
                (place.topic, place.partition): max(future.result(_ANSWER_S).offset - places[place].position, 0)
                for place, future in futures.items()
            }
        except (KafkaException, TimeoutError):
            self._admin = None
            return None
