"""Who is a member of a consumer group, as its coordinator reports it."""

from __future__ import annotations

import concurrent.futures
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.runtime import client_config

if TYPE_CHECKING:
    from streams.runtime.client_config import Config

log = logging.getLogger(__name__)

_REQUEST_S: Final = 3.0
_ANSWER_S: Final = 4.0  # longer than the request may take


class GroupMember(NamedTuple):
    """One member: the id that the broker knows it by, and the client id that it has given."""

    member_id: str
    client_id: str


class GroupMembers:
    """Asks the coordinators of groups; keeps its connection as long as it is answered."""

    def __init__(self, client: Config) -> None:
        """Connect lazily, as `client` says."""
        self._client = client_config.quiet(client)
        self._admin: AdminClient | None = None
        self._silent = False

    def of(self, group: str) -> frozenset[GroupMember] | None:
        """Return a group's members, None while its coordinator gives no answer; blocks for some seconds at most.

        After a failure the next question is asked by a new client: one that has got a list without brokers (from a
        lone broker that has just come back) never asks again (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        if self._admin is None:
            self._admin = AdminClient(self._client, logger=None)
        try:
            future = self._admin.describe_consumer_groups([group], request_timeout=_REQUEST_S)[group]
            found = future.result(_ANSWER_S)
        except (KafkaException, TimeoutError, concurrent.futures.TimeoutError) as error:
            if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return frozenset()
            if not self._silent:
                log.warning("the members of group %s are not known at the moment: %s", group, error)
            self._silent, self._admin = True, None
            return None
        self._silent = False
        return frozenset(GroupMember(str(one.member_id), str(one.client_id)) for one in found.members)
