"""What topics hold, decoded for people: bounded reads by offset or time, filtered by key and type."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.attributes import Attributes
from schemas.errors import SchemaError
from streams.clock import iso
from streams.errors import StreamsError
from topics.admin import topic_names
from topics.reader import Position, Time, follow, offsets, read

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from schemas.avro.codec import Codec
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord
    from topics.topic import Topic


class PositionError(StreamsError):
    """Raised for a text that is neither earliest, latest, an offset nor an RFC 3339 time."""


def position(text: str) -> Position:
    """Return the position that a text names; raises PositionError."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if text.isascii() and text.isdigit():
        return int(text[:18])
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"'{text[:40]}' is no position: give earliest, latest, an offset, or a time like 2026-01-31T08:00Z."
        raise PositionError(message)
    return Time(max(round(moment.timestamp() * 1000), 0))  # Kafka refuses times before its epoch; no record is older


class TopicHistory:
    """Reads a pipeline's topics; blocking, so it is called in a thread."""

    def __init__(self, config: KafkaConfig, codec: Codec, topics: list[Topic]) -> None:
        self._config = config
        self._codec = codec
        self._topics = topics

    def topics(self) -> list[dict[str, Any]]:
        """Return the pipeline's topics as declared, with the partitions that they have."""
        counts = topic_names(self._config)
        return [
            {
                "name": topic.name,
                "description": topic.description,
                "kind": topic.kind,
                "key": topic.key,
                "cleanup": topic.cleanup,
                "retention_ms": topic.retention_ms,
                "partitions": counts.get(topic.name, 0),
                "events": list(topic.events),
            }
            for topic in self._topics
        ]

    def page(
        self, topic: str, *, start: str, end: str, key: str | None, event_type: str | None, limit: int
    ) -> Iterator[dict[str, Any]]:
        """Yield at most `limit` records, oldest first within a partition; raises PositionError, TopicError."""
        found = 0
        for record in read(self._config, topic, start=position(start), end=position(end), key=key):
            shown = self.show(record)
            if event_type is None or shown["type"] == event_type:
                yield shown
                found += 1
                if found == limit:
                    return

    def start(self, topic: str, where: str | Mapping[int, int]) -> dict[int, int]:
        """Return each partition's offset at a position, within what there is; raises PositionError, TopicError."""
        return offsets(self._config, topic, position(where) if isinstance(where, str) else where)

    def between(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int], *, key: str | None, limit: int
    ) -> Iterator[dict[str, Any]]:
        """Yield at most `limit` records between offsets, in order within a partition; raises TopicError."""
        for record in read(self._config, topic, start=start, end=end, key=key, limit=limit):
            yield self.show(record)

    def follow(self, topic: str, start: Mapping[int, int], *, stop: threading.Event) -> Iterator[dict[str, Any]]:
        """Yield records from these offsets on as they come, until `stop` is set; raises TopicError."""
        for record in follow(self._config, topic, start=start, stop=stop):
            yield self.show(record)

    def show(self, record: RawRecord) -> dict[str, Any]:
        """Return a record for people; what cannot be decoded is shown with the reason, and its bytes in base64."""
        shown: dict[str, Any] = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "time": iso(record.timestamp),
            "key": None if record.key is None else record.key.decode("utf-8", "replace"),
            "id": None,
            "type": None,
            "source": None,
            "data": None,
        }
        shown |= _attributes(record)
        if record.value is not None:
            try:
                shown["data"] = plain(self._codec.decode_dict(record.value))
            except SchemaError as error:
                shown |= {"undecodable": str(error), "bytes": base64.b64encode(record.value).decode()}
        return shown


def _attributes(record: RawRecord) -> dict[str, Any]:
    """Return the CloudEvents attributes as members; nothing of a record that has none."""
    try:
        found = Attributes.from_headers(record.headers, default_time=record.timestamp)
    except SchemaError as error:
        return {"foreign": str(error)}
    headers = {"headers": found.extra} if found.extra else {}
    return {"id": found.id, "type": found.type, "source": found.source, "time": iso(found.time), **headers}


def plain(value: Any) -> Any:
    """Return decoded Avro as plain JSON: bytes as text where they are text, else in base64."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return value
