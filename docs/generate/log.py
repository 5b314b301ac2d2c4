"""Topics and events, from the catalogue and from the event classes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from docs.generate.markdown import code, prose, table, type_of
from schemas.catalogue import events
from topics.catalogue import catalogue

if TYPE_CHECKING:
    from schemas import Event
    from topics import Topic

TOPICS = """# Topics

All topics are declared in `topics/catalogue.py`. `streams topics apply` creates them; no topic is created
automatically. `STREAMS_TOPIC_PREFIX` is put before each name, with a dot. Names in capital letters stand for an
agent, a source, a table or a pool. Topics without a count of their own have `STREAMS_PARTITIONS` partitions, so that
one key has the same partition number in each of them. Your own topics are values of `topics.Topic`.

"""
EVENTS = """# Events

The types that ship. A record on the log is a CloudEvent: its type is the header `ce_type`, its key the UTF-8 text of
the key field, its value Avro in the Confluent wire format. An event without a key field, or with an empty one, has
its id as key. Your own events are classes that derive from `schemas.Event`.
"""


def topics_page() -> str:
    """Return the page of topics."""
    topics = catalogue(agents=[("AGENT", "POOL")], sources=["SOURCE"], tables=[("TABLE", 1, "POOL")])
    shown = [topic for topic in topics if ".default" not in topic.name]
    head = ("topic", "content", "kind", "key", "cleanup", "retention", "partitions", "largest record", "event types")
    return TOPICS + table(head, [_topic(topic) for topic in shown])


def _topic(topic: Topic) -> tuple[str, ...]:
    settings = topic.settings()
    retention = int(settings["retention.ms"])
    return (
        code(topic.name),
        topic.description,
        topic.kind,
        topic.key,
        topic.cleanup,
        "no limit" if retention < 0 else f"{timedelta(milliseconds=retention).days} d",
        "shared" if topic.shares_partitions else str(topic.partitions),
        f"{int(settings['max.message.bytes']) / 2**20:.1f} MiB",
        ", ".join(code(one) for one in topic.events) or ("any" if topic.kind == "bus" else ""),
    )


def events_page() -> str:
    """Return the page of events."""
    return "\n".join([EVENTS, *(_event(name, kind) for name, kind in sorted(events().items()))])


def _event(name: str, kind: type[Event]) -> str:
    key = f"Key: {code(kind.event_key)}." if kind.event_key else "Key: the event's id."
    rows = [
        (code(field), type_of(info.annotation), "required" if info.is_required() else code(repr(info.default)))
        for field, info in kind.model_fields.items()
    ]
    text = f"## `{name}`\n\n{prose(kind.__doc__ or '')} {key}\n"
    return text + (f"\n{table(('field', 'type', 'default'), rows)}" if rows else "")
