"""The codec that settings ask for: ids from a registry, or from the committed files and the user's own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from schemas.avro.codec import Codec
from schemas.avro.own import folders
from schemas.avro.registry import FileRegistry

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.settings import Settings


def records_of(catalog: Catalog) -> list[type[BaseModel]]:
    """Return all models of a catalog whose records are on the log: events and rows."""
    rows: list[type[BaseModel]] = [table.row for table in catalog.tables.values()]
    return [*catalog.events.values(), *rows]


def codec_of(settings: Settings, catalog: Catalog) -> Codec:
    """Return a codec; connects to nothing yet."""
    if settings.schema_registry_url is None:
        # Written by another process, perhaps one that died, or by one of other code that works beside us.
        return Codec(FileRegistry(own=records_of(catalog), folders=folders(settings.apps)))
    from schemas.avro.confluent import ConfluentRegistry  # noqa: PLC0415 - its HTTP client is loaded where it is used

    user, password = settings.schema_registry_username, settings.schema_registry_password
    auth = (user, password.get_secret_value()) if user and password else None
    return Codec(ConfluentRegistry(settings.schema_registry_url, auth))
