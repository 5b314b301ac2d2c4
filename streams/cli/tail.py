"""Reads a topic for `streams topics tail`: bounded or following, decoded, filtered, as lines or JSON lines."""

from __future__ import annotations

from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from schemas.attributes import Attributes
from schemas.errors import SchemaError
from streams.cli.io.options import OutputFormat
from streams.cli.io.output import cell, console
from streams.cli.log import DeploymentLog, open_log
from streams.cli.positions import position
from streams.clock import iso
from topics.reader import follow, offsets, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from topics.reader import Position, RawRecord

LAST = 20
"""Events that are shown when nobody says from where."""

NEAR = 50
"""Offsets of a partition's end in which an event is looked for first: markers of transactions take offsets, too."""


class Wish(NamedTuple):
    """What to read: places as people write them, filters, and whether to go on with what comes."""

    start: str | None
    end: str | None
    key: str | None
    type: str | None
    limit: int | None
    follow: bool


def tail(topic: str, wish: Wish, output: OutputFormat) -> None:
    """Print the events of `topic` that `wish` describes."""
    log = open_log()
    found: Iterable[dict[str, Any]]
    if wish.start is None and not wish.follow:
        found = newest(log, topic, wish)
    else:
        found = wanted(log, records(log, topic, wish), wish)
    screen = console()
    for event in islice(found, wish.limit):
        if output is OutputFormat.JSON:
            print(orjson.dumps(event, default=_text).decode(), flush=True)
        else:
            screen.print(_line(event))


def records(log: DeploymentLog, topic: str, wish: Wish) -> Iterator[RawRecord]:
    """Yield the raw records between the places."""
    name = log.names.topic(log.names.bare(topic))
    start = position(wish.start or ("latest" if wish.follow else "earliest"))
    key = None if wish.key is None else wish.key.encode()
    if wish.follow and wish.end is None:
        return follow(log.kafka, name, start=start, key=key)
    return read(log.kafka, name, start=start, end=position(wish.end or "latest"), key=key)


def wanted(log: DeploymentLog, raw: Iterable[RawRecord], wish: Wish) -> Iterator[dict[str, Any]]:
    """Yield the records of the wished type, decoded."""
    return (event for event in decoded(log, raw) if wish.type in (None, event["type"]))


def newest(log: DeploymentLog, topic: str, wish: Wish) -> list[dict[str, Any]]:
    """Return the newest events of all partitions, oldest first; the whole topic is read only if its end has too few."""
    name, key, count = log.names.topic(log.names.bare(topic)), wish.key, wish.limit or LAST
    ends = offsets(log.kafka, name, position(wish.end or "latest"))
    near = {partition: max(end - NEAR * count, 0) for partition, end in ends.items()}
    starts: list[Position] = [near, "earliest"] if any(near.values()) else ["earliest"]
    found: list[dict[str, Any]] = []
    for start in starts:
        raw = read(log.kafka, name, start=start, end=ends, key=key)
        found = nlargest(count, wanted(log, raw, wish), key=_place)
        if len(found) == count:
            break
    return found[::-1]


def _place(event: dict[str, Any]) -> tuple[str, int, int]:
    return event["timestamp"], event["partition"], event["offset"]


def decoded(log: DeploymentLog, raw: Iterable[RawRecord]) -> Iterator[dict[str, Any]]:
    """Yield each record as JSON-like data; one that cannot be decoded says so in `error` and keeps its place."""
    for record in raw:
        headers = [(name, value or b"") for name, value in record.headers]
        event: dict[str, Any] = {
            "topic": log.names.bare(record.topic),
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": iso(record.timestamp),
            "key": None if record.key is None else record.key.decode("utf-8", "replace"),
            "id": None,
            "type": None,
        }
        try:
            attributes = Attributes.from_headers(headers)
            event |= {"id": attributes.id, "type": attributes.type, "source": attributes.source}
        except SchemaError:
            event["headers"] = {name: value.decode("utf-8", "replace") for name, value in headers}
        try:
            event["data"] = None if record.value is None else log.codec.decode_dict(record.value)
        except SchemaError as error:
            event |= {"data": None, "error": str(error)}
        yield event


def _line(event: dict[str, Any]) -> str:
    from rich.markup import escape

    place = f"[dim]{event['timestamp']} {event['partition']}@{event['offset']}[/]"
    what = f"[cyan]{escape(event['type'] or '-')}[/] [bold]{escape(event['key'] or '-')}[/]"
    body = f"[red]{escape(event['error'])}[/]" if event.get("error") else escape(cell(event["data"]))
    return f"{place} {what} {body}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
