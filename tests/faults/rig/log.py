"""Reads a topic as a consumer that sees only what was committed, on from where it was."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.runtime.record import ConsumedRecord
from tests.faults.rig.waiting import PATIENCE_S
from topics.contact import Contact
from topics.kafka import KafkaConfig


class Log:
    """All committed records of a topic."""

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        """Read from the beginning; no group, no commits."""
        self._topic = topic
        self._records: list[ConsumedRecord] = []
        self._settings = config.client(
            group_id="tests-log",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            fetch_wait_max_ms=20,
        )
        self._config = config
        self._consumer = Consumer(self._settings, logger=logging.getLogger(__name__))
        self._places: dict[int, TopicPartition] = {}
        self._next: dict[int, int] = {}

    async def all(self) -> list[ConsumedRecord]:
        """Return what is committed so far, in order within a partition."""
        await asyncio.to_thread(self._pump)
        return self._records

    def _pump(self) -> None:
        """Read up to what is committed now; only as far as it goes while the broker does not answer."""
        while not self._pumped():
            if not self._is_replaced():
                return

    def _pumped(self) -> bool:
        """Read up to what is committed now; return whether the broker answered."""
        try:
            if not self._places:
                self._begin()
            ends = {p: self._consumer.get_watermark_offsets(place, 5)[1] for p, place in self._places.items()}
        except KafkaException:
            return False
        silent = 0
        while any(self._next[p] < end for p, end in ends.items()):
            first = self._consumer.poll(1.0)
            if first is None:
                silent += 1
                if silent > PATIENCE_S or not self._answers():
                    return False
                continue
            silent = 0
            for message in (first, *self._consumer.consume(10_000, 0)):
                self._take(message)
        return True

    def _is_replaced(self) -> bool:
        """Read on with a new client when this one has lost the broker for good (see `topics.contact`)."""
        contact = Contact(self._config.client())
        contact.suspect = True
        while contact.suspect:
            if contact.lost(self._consumer, self._topic):
                self._consumer.close()
                self._consumer = Consumer(self._settings, logger=logging.getLogger(__name__))
                self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in self._next.items()])
                return True
            if not contact.failed:  # the cluster is away
                break
        return False

    def _answers(self) -> bool:
        """Say whether the broker is there: then what is under way comes, however long it takes."""
        try:
            for place in self._places.values():
                self._consumer.get_watermark_offsets(place, 5)
        except KafkaException:
            return False
        return True

    def _begin(self) -> None:
        found = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        assert found.error is None, found.error
        self._places = {p: TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in found.partitions}
        self._next = dict.fromkeys(self._places, 0)
        self._consumer.assign(list(self._places.values()))

    def _take(self, message: Message) -> None:
        error = message.error()
        record = cast("ConsumedRecord", message)  # an end of partition has its place and offset, too
        if error is None:
            self._records.append(record)
            self._next[record.partition()] = record.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self._next[record.partition()] = record.offset()
        elif error.fatal():
            raise AssertionError(f"{self._topic}: {error.str()}")

    def close(self) -> None:
        """Let go."""
        self._consumer.close()
