"""Who is in the consumer group, as its coordinator says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.worker.log import config

if TYPE_CHECKING:
    from streams.worker.log.config import Config

_REQUEST_S: Final = 3.0
_ANSWER_S: Final = 4.0  # longer than the request may take


class Members:
    """Asks the coordinator; keeps its connection as long as it is answered."""

    def __init__(self, client: Config, group: str) -> None:
        """Connect lazily, as `client` says."""
        self._client = config.quiet(client)
        self._group = group
        self._admin: AdminClient | None = None

    def ids(self) -> frozenset[str] | None:
        """Return the ids of the group's members, None while the broker does not answer; blocks.

        After a failure the next question is asked by a new client: one that was told of no broker at all, as a lone
        broker does that has just come back, never asks again (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        if self._admin is None:
            self._admin = AdminClient(self._client, logger=None)
        try:
            future = self._admin.describe_consumer_groups([self._group], request_timeout=_REQUEST_S)[self._group]
            return frozenset(member.member_id for member in future.result(_ANSWER_S).members)
        except (KafkaException, TimeoutError) as error:
            if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return frozenset()
            self._admin = None
            return None
