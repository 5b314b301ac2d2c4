"""What lies on topics already: each record by its identity, so that nothing that is equal is written a second time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from schemas.run import RunSubmitted
from topics.admin import topic_names
from topics.partition import partition_of
from topics.reader import Time, offsets, read

if TYPE_CHECKING:
    from schemas import Event
    from schemas.avro.codec import Codec
    from streams.replay.log import ReplayLog

_SKEW_MS: Final = 60_000  # clocks of producers and brokers differ

Identity = str | tuple[int, bytes]
"""The event's id; for a row or an entry, which have none, its partition and key."""


def substance(codec: Codec, event: Event) -> bytes:
    """Return a digest of what an event says, whichever schema wrote it and whenever it was made.

    Times that a submission counts from the moment of its making are left out: made again they are others.
    """
    if isinstance(event, RunSubmitted):
        event = event.model_copy(update={"deadline_ms": None, "not_before_ms": None, "traceparent": None})
    return _digest(codec.encode(event))


class WrittenRecords:
    """The records of some topics from a time on (ms since the epoch), read as they are asked for; blocking."""

    def __init__(self, log: ReplayLog, since_ms: int = 0) -> None:
        self._log = log
        self._since_ms = max(since_ms - _SKEW_MS, 0)
        self._topics: dict[str, dict[Identity, bytes]] = {}
        self._gone: dict[str, dict[int, int]] = {}  # by topic and partition: before when records were deleted
        self._counts: dict[str, int] = {}

    def load(self, topic: str) -> None:
        """Read a topic if it was not read yet; one that does not exist has nothing. Raises as `read` does."""
        if topic in self._topics:
            return
        if not self._counts:
            self._counts = topic_names(self._log.config)
        found: dict[Identity, bytes] = {}
        gone: dict[int, int] = {}
        if topic in self._counts:
            config = self._log.config
            first = offsets(config, topic, "earliest")
            for record in read(config, topic, start=Time(self._since_ms)):
                low = first[record.partition]
                if low and record.offset == low:
                    gone[record.partition] = record.timestamp
                arrival = self._log.arrival(record)
                if arrival.attributes is not None and arrival.event is not None:
                    found[arrival.attributes.id] = substance(self._log.codec, arrival.event)
                else:
                    found[record.partition, record.key or b""] = _digest(record.value or b"")
        self._topics[topic], self._gone[topic] = found, gone

    def of(self, topic: str, identity: Identity) -> bytes | None:
        """Return the digest of a record of a topic that was loaded, None if it has none like it."""
        return self._topics[topic].get(identity)

    def same(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> bool:
        """Return whether a topic of rows or entries has this value under a key, with None in the key's partition."""
        place = partition_of(key, self._counts.get(topic, 1)) if partition is None else partition
        return self._topics[topic].get((place, key)) == _digest(value)

    def add(self, topic: str, identity: Identity, digest: bytes) -> None:
        """Note a record that is written now."""
        self._topics[topic][identity] = digest

    def deleted_since(self, topic: str, key: str, at_ms: int) -> bool:
        """Return whether retention may have deleted a record that was written under a key at a time or later."""
        gone = self._gone[topic]
        if not gone:
            return False
        if key:
            return gone.get(partition_of(key.encode(), self._counts[topic]), 0) > at_ms
        return max(gone.values()) > at_ms


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:12]
