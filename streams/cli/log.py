"""What commands need to read the log itself: cluster, names, the catalogue, and a codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams.app import discover
from streams.cli.pipeline import settings_here
from topics.catalogue import catalogue
from topics.names import Names

if TYPE_CHECKING:
    from schemas.avro.registry import Registry
    from streams.app import Catalog
    from streams.settings import Settings
    from topics.kafka import KafkaConfig
    from topics.topic import Topic


class Log(NamedTuple):
    """The log as this deployment sees it."""

    settings: Settings
    catalog: Catalog
    names: Names
    codec: Codec

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster; SettingsError when none is known."""
        return self.settings.kafka()

    def topics(self) -> list[Topic]:
        """Return every topic that this deployment's agents, sources, tables and own topics need."""
        return wanted(self.settings, self.catalog)


def open_log() -> Log:
    """Read settings, find what users wrote, and build the codec; connects to nothing."""
    settings = settings_here()
    catalog = discover(settings.apps)
    return Log(settings, catalog, Names(settings.topic_prefix), Codec(registry(settings, catalog)))


def registry(settings: Settings, catalog: Catalog) -> Registry:
    """Return the registry that is set, else the committed files."""
    if settings.schema_registry_url is None:
        return FileRegistry(own=catalog.events.values())
    from schemas.avro.confluent import ConfluentRegistry

    password = settings.schema_registry_password
    user = settings.schema_registry_username
    auth = (user, password.get_secret_value()) if user and password else None
    return ConfluentRegistry(settings.schema_registry_url, auth)


def wanted(settings: Settings, catalog: Catalog) -> list[Topic]:
    """Return the topics of everything in `catalog`, under the settings' prefix."""
    agents = [(agent.name, agent.pool) for agent in catalog.agents.values()]
    tables = [(table.name, table.version, table.pool) for table in catalog.tables.values()]
    pools = sorted({settings.pool, "default", *(pool for _, pool in agents), *(pool for *_, pool in tables)})
    return catalogue(
        settings.topic_prefix,
        agents=agents,
        sources=sorted(catalog.sources),
        tables=tables,
        pools=pools,
        own=list(catalog.topics.values()),
    )
