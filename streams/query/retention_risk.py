"""Which groups read a topic of a pipeline, and what is close to being deleted before they have read it. Blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from topics.admin import describe
from topics.groups import committed, groups
from topics.names import Names
from topics.reader import Time, offsets, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.app import Catalog
    from streams.settings import Settings
    from topics.groups import Place
    from topics.kafka import KafkaConfig

WARN_AT: Final = 0.5
"""The part of a topic's retention after which a record that nobody has read is a problem."""

_HOUR_MS: Final = 3600 * 1000


def retention_ms(kafka: KafkaConfig, topic: str) -> int | None:
    """Return how long a topic keeps records as the cluster has it, None for ever or if there is no such topic."""
    state = describe(kafka, [topic]).get(topic)
    value = -1 if state is None else int(state.config.get("retention.ms", -1))
    return None if value < 0 else value


def bus_groups(settings: Settings, catalog: Catalog) -> dict[str, Mapping[Place, int]]:
    """Return what each group that reads the bus has committed.

    Those of the catalogue's pools are among them whether they have read anything or not. So are those that have read
    of it and are of pools that this code does not know.
    """
    kafka, names = settings.kafka(), Names(settings.topic_prefix)
    ours = {names.topic(f"streams.{pool}") for pool in catalog.bus_pools()}
    found: dict[str, Mapping[Place, int]] = {}
    for group in sorted(ours | set(groups(kafka, names.topic("streams.")))):
        done = committed(kafka, group)
        if group in ours or any(topic == names.events for topic, _ in done):
            found[group] = done
    return found


def close_to_deletion(settings: Settings, catalog: Catalog, now_ms: int) -> str | None:
    """Return which topics have records older than half their retention that a pool has not read; None for none."""
    names = Names(settings.topic_prefix)
    wanted = [(group, names.events, done) for group, done in bus_groups(settings, catalog).items()]
    for pool in catalog.pools():
        group = names.topic(f"streams.{pool}")
        done = committed(settings.kafka(), group)
        queues = [names.agents(agent.name) for agent in catalog.agents.values() if agent.pool == pool]
        wanted += [(group, topic, done) for topic in (names.signals, *queues)]
    found = [text for group, topic, done in wanted for text in _old(settings.kafka(), group, topic, done, now_ms)]
    return "; ".join(found) or None


def _old(kafka: KafkaConfig, group: str, topic: str, done: Mapping[Place, int], now_ms: int) -> Iterator[str]:
    """Yield a line if records of a topic are old and unread; markers of transactions are none."""
    retained_ms = retention_ms(kafka, topic)
    if retained_ms is None:
        return
    ends = offsets(kafka, topic, Time(now_ms - int(retained_ms * WARN_AT)))
    starts = offsets(kafka, topic, "earliest")
    for number, end in ends.items():
        start = max(done.get((topic, number), 0), starts[number])
        if start < end:
            first = next(iter(read(kafka, topic, start=start, end={number: end}, partitions=[number], limit=1)), None)
            if first is not None and first.timestamp < now_ms - retained_ms * WARN_AT:
                age, most = ((now_ms - first.timestamp) / _HOUR_MS, retained_ms / _HOUR_MS)
                yield f"{group} has not read {topic} for {age:.0f} h; records are deleted after {most:.0f} h"
                return
