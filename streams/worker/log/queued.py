"""What lies on the rest of a partition's queues, for questions about ids that the journal does not know.

One consumer serves all questions, one look all that were asked before it began: a client for each queue and question
would cost connections and threads until the process has no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams import clock
from streams.worker.errors import QueuesUnreadError
from streams.worker.log import config

if TYPE_CHECKING:
    from streams.worker.state.slice import Slice
    from streams.worker.tasks import Tasks

_CHUNK: Final = 1000
_LOOK_S: Final = 2.5  # the gateway asks again after three


class Queued:
    """Looks for keys between what is applied of some topics and their committed ends."""

    def __init__(self, client: config.Config, group: str, topics: Sequence[str], tasks: Tasks) -> None:
        """Look in `topics`; nothing connects before the first look. `tasks` keeps the looks that are under way."""
        self._tasks = tasks
        self._settings = config.reader(client, group)
        self._topics = tuple(topics)
        self._turn = asyncio.Lock()
        self._next: dict[Slice, asyncio.Task[frozenset[bytes] | QueuesUnreadError]] = {}
        self._kept: list[Consumer] = []  # the one consumer, while it is well

    async def has(self, owned: Slice, key: bytes) -> bool:
        """Return whether a record with `key` is on the way; raises QueuesUnreadError when that cannot be seen in time.

        What was acknowledged before the call is found: the look begins after it.
        """
        look = self._next.get(owned)
        if look is None:
            look = self._next[owned] = self._tasks.spawn(self._look(owned))
        found = await asyncio.shield(look)
        if isinstance(found, QueuesUnreadError):
            raise found
        return key in found

    def close(self) -> None:
        """Close the consumer; no look may be under way."""
        while self._kept:
            self._kept.pop().close()

    async def _look(self, owned: Slice) -> frozenset[bytes] | QueuesUnreadError:
        async with self._turn:
            del self._next[owned]  # who asks from here on needs a younger look
            places = [
                TopicPartition(topic, owned.partition, max(owned.sources[topic].applied, 0)) for topic in self._topics
            ]
            return await asyncio.to_thread(self._read, places) if places else frozenset()

    def _read(self, places: list[TopicPartition]) -> frozenset[bytes] | QueuesUnreadError:
        consumer = self._kept.pop() if self._kept else Consumer(self._settings, logger=None)
        try:
            consumer.assign(places)
            found = self._to_the_ends(consumer, {place.topic for place in places})
            consumer.unassign()
        except (KafkaException, QueuesUnreadError) as error:
            consumer.close()  # the next look begins with a new one
            return QueuesUnreadError(f"the queues cannot be read to their ends: {error}")
        self._kept.append(consumer)
        return found

    @staticmethod
    def _to_the_ends(consumer: Consumer, left: set[str]) -> frozenset[bytes]:
        found: set[bytes] = set()
        end = clock.monotonic() + _LOOK_S
        while left:
            if clock.monotonic() > end:
                raise QueuesUnreadError(f"{len(left)} of them took longer than {_LOOK_S:g} s")
            first = consumer.poll(0.1)
            for message in [] if first is None else [first, *consumer.consume(_CHUNK, 0)]:
                error = message.error()
                if error is None:
                    found.add(message.key() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library names local errors so
                    left.discard(message.topic() or "")
                else:
                    raise KafkaException(error)
        return frozenset(found)
