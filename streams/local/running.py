"""A local pipeline that is ready: its processes, and where they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.serving.hosts import url_here

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.local.kafka import EmbeddedKafka
    from streams.local.supervisor import Child, Supervisor
    from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Running:
    """A pipeline that is ready; `settings` are those that its processes see, `seconds` what the start took.

    `catalog` is what the user's code defined at the start.
    """

    settings: Settings
    gateway: Child
    workers: tuple[Child, ...]
    kafka: EmbeddedKafka | None
    supervisor: Supervisor
    seconds: float
    catalog: Catalog

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return gateway_url(self.settings)


def gateway_url(settings: Settings) -> str:
    """Return where the gateway of these settings is reached from here."""
    return url_here(settings.gateway_host, settings.gateway_port)
