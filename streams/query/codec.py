"""The codec that settings ask for: ids from a registry, or from the committed files and the user's own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.settings import Settings


def codec_of(settings: Settings, catalog: Catalog) -> Codec:
    """Return a codec; connects to nothing yet."""
    if settings.schema_registry_url is None:
        rows = [table.row for table in catalog.tables.values()]  # written by another process, perhaps one that died
        return Codec(FileRegistry(own=[*catalog.events.values(), *rows]))
    from schemas.avro.confluent import ConfluentRegistry  # noqa: PLC0415 - its HTTP client is loaded where it is used

    user, password = settings.schema_registry_username, settings.schema_registry_password
    auth = (user, password.get_secret_value()) if user and password else None
    return Codec(ConfluentRegistry(settings.schema_registry_url, auth))
