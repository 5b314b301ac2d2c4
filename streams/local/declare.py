"""Creates what the pipeline's topics lack before anybody writes to them, since nothing makes topics by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.app import discover
from topics.admin import apply, describe, plan
from topics.catalogue import catalogue

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.settings import Settings
    from topics.changes import TopicPlan
    from topics.topic import Topic


def declare_topics(settings: Settings, catalog: Catalog | None = None) -> TopicPlan:
    """Create and correct the topics of everything in `catalog` and return what was changed; blocking.

    Without a catalog it is what `settings` lead to. Raises DiscoveryError then, and TopicError for what must not be
    changed.
    """
    topics = wanted(settings, discover(settings.apps) if catalog is None else catalog)
    current = describe(settings.kafka(), [topic.name for topic in topics])
    changes = plan(current, topics, partitions=settings.partitions, replication_factor=settings.replication_factor)
    if not changes.empty:
        apply(settings.kafka(), changes)
    return changes


def wanted(settings: Settings, catalog: Catalog) -> list[Topic]:
    """Return the topics of everything in `catalog`, under the settings' prefix."""
    agents = [(agent.name, agent.pool) for agent in catalog.agents.values()]
    return catalogue(
        settings.topic_prefix,
        agents=agents,
        sources=sorted(catalog.sources),
        tables=catalog.changelogs(settings.pool),
        pools=sorted({settings.pool, *catalog.pools()}),
        own=list(catalog.topics.values()),
    )
