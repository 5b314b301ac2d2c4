"""What commands need to read the log itself: settings, names, the catalogue, and a codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.app import discover
from streams.cli.pipeline import settings_here
from streams.local.declare import wanted
from streams.query.codec import codec_of
from topics.names import Names

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.app import Catalog
    from streams.settings import Settings
    from topics.kafka import KafkaConfig
    from topics.topic import Topic


class DeploymentLog(NamedTuple):
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


def open_log() -> DeploymentLog:
    """Read settings, find what users wrote, and build the codec; connects to nothing."""
    settings = settings_here()
    catalog = discover(settings.apps)
    return DeploymentLog(settings, catalog, Names(settings.topic_prefix), codec_of(settings, catalog))
