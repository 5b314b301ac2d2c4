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
from streams.runtime import client_config
from streams.runtime.errors import QueuesUnreadError

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.tasks import BackgroundTasks

_CHUNK: Final = 1000
PATIENCE_S: Final = 2.5  # of a question: the gateway asks again after three
_LOOK_S: Final = 10.0  # a consumer that is silent for longer is replaced


class QueueLookup:
    """Looks for keys between what is applied of some topics and their committed ends."""

    def __init__(self, client: client_config.Config, group: str, topics: Sequence[str], tasks: BackgroundTasks) -> None:
        """Look in `topics`; nothing connects before the first look. `tasks` keeps the looks that are under way."""
        self._tasks = tasks
        self._settings = client_config.reader(client, group)
        self._topics = tuple(topics)
        self._turn = asyncio.Lock()
        self._next: dict[PartitionAssignment, asyncio.Task[frozenset[bytes] | QueuesUnreadError]] = {}
        self._idle: list[Consumer] = []  # the one consumer, while it is well

    async def has(self, owned: PartitionAssignment, key: bytes) -> bool:
        """Return whether a record with `key` is on the way; raises QueuesUnreadError when that cannot be seen in time.

        What was acknowledged before the call is found: the look begins after it. A look goes on after who asked has
        given up: it may be connecting, and the next one needs its connections.
        """
        look = self._next.get(owned)
        if look is None:
            look = self._next[owned] = self._tasks.spawn(self._look(owned))
        done, _ = await asyncio.wait((look,), timeout=PATIENCE_S)
        if not done:
            raise QueuesUnreadError(f"the queues were not read to their ends within {PATIENCE_S:g} s")
        found = look.result()
        if isinstance(found, QueuesUnreadError):
            raise found
        return key in found

    def close(self) -> None:
        """Close the consumer; no look may be under way."""
        while self._idle:
            self._idle.pop().close()

    async def _look(self, owned: PartitionAssignment) -> frozenset[bytes] | QueuesUnreadError:
        async with self._turn:
            del self._next[owned]  # who asks from here on needs a younger look
            places = [
                TopicPartition(topic, owned.partition, max(owned.sources[topic].applied, 0)) for topic in self._topics
            ]
            return await asyncio.to_thread(self._read, owned, places) if places else frozenset()

    def _read(self, owned: PartitionAssignment, places: list[TopicPartition]) -> frozenset[bytes] | QueuesUnreadError:
        consumer = self._idle.pop() if self._idle else Consumer(self._settings, logger=None)
        try:
            consumer.assign(places)
            found = self._to_the_ends(consumer, owned, {place.topic for place in places})
            consumer.unassign()
        except (KafkaException, QueuesUnreadError) as error:
            consumer.close()  # the next look begins with a new one
            return QueuesUnreadError(f"the queues cannot be read to their ends: {error}")
        self._idle.append(consumer)
        return found

    @staticmethod
    def _to_the_ends(consumer: Consumer, owned: PartitionAssignment, left: set[str]) -> frozenset[bytes]:
        found: set[bytes] = set()
        end = clock.monotonic() + _LOOK_S
        while left:
            if not owned.live:
                raise QueuesUnreadError(f"partition {owned.partition} is not owned here any more")
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
