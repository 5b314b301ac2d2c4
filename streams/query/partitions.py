"""The shared partition count as the cluster has it: a key's owner is found with this number and no other."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from topics.admin import topic_names
from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from topics.kafka import KafkaConfig
    from topics.names import Names

log = logging.getLogger(__name__)

_ANSWER_S = 2.5


class Partitions:
    """Asks the cluster for its topics; keeps the count of `signals`, which all keyed topics share."""

    def __init__(self, config: KafkaConfig, names: Names, expected: int) -> None:
        self._config = config
        self._names = names
        self._count = expected

    def count(self) -> int:
        """Return the shared count: the cluster's last answer, before that the settings' value."""
        return self._count

    async def check(self) -> str | None:
        """Return None if a broker answers, else one line; takes over the count on the way."""
        try:
            await self._ask()
        except TopicError as error:
            return str(error)
        return None

    def check_topics(self, wanted: Sequence[str]) -> Callable[[], Awaitable[str | None]]:
        """Return a check that every wanted topic is there."""

        async def check() -> str | None:
            try:
                known = await self._ask()
            except TopicError as error:
                return str(error)
            missing = [name for name in wanted if name not in known]
            return (
                f"{len(missing)} topics are missing, such as {missing[0]}: run streams topics apply"
                if missing
                else None
            )

        return check

    async def _ask(self) -> dict[str, int]:
        known = await asyncio.to_thread(topic_names, self._config, timeout=_ANSWER_S)
        found = known.get(self._names.signals)
        if found is not None and found != self._count:
            log.info("the cluster has %d partitions a topic, not %d", found, self._count)
            self._count = found
        return known
