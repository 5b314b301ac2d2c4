"""Who is a member of a consumer group, by the client ids that members have given."""

from __future__ import annotations

import concurrent.futures
import logging
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.worker.log import config

if TYPE_CHECKING:
    from streams.worker.log.config import Config

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 5.0


class GroupMembers:
    """Asks the coordinators of groups; keeps its connection."""

    def __init__(self, client: Config) -> None:
        """Connect lazily, as `client` says."""
        self._client = client
        self._admin: AdminClient | None = None
        self._silent = False

    def of(self, group: str) -> frozenset[str] | None:
        """Return the client ids of a group's members, None while its coordinator gives no answer; blocks."""
        if self._admin is None:
            self._admin = AdminClient(config.quiet(self._client), logger=None)
        try:
            future = self._admin.describe_consumer_groups([group], request_timeout=_PATIENCE_S)[group]
            found = future.result(_PATIENCE_S + 1)
        except (KafkaException, TimeoutError, concurrent.futures.TimeoutError) as error:
            if not self._silent:
                log.warning("the members of group %s are not known at the moment: %s", group, error)
            self._silent = True
            return None
        self._silent = False
        return frozenset(str(member.client_id) for member in found.members)
