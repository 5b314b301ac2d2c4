"""Where schema ids come from: the protocol, and the registry that needs no service."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from schemas.avro.derive import avro_schema, digest
from schemas.avro.published_schemas import FOLDER, load, own_files, read_own
from schemas.errors import SchemaError, UnknownSchemaError

#: Ids made from content lie above those that are given out, and fit a signed 32-bit integer.
CONTENT_IDS = 1 << 30


class Registry(Protocol):
    """Maps schemas to ids and ids to schemas; the same answer in every process, for ever."""

    def id_of(self, model: type[BaseModel]) -> int:
        """Return the id under which the model's records are written; raises SchemaError."""

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """Return the schema that a record was written with; raises UnknownSchemaError."""


def content_id(schema: dict[str, Any]) -> int:
    """Return an id made from the schema's content: 2**30 and 30 bits of its digest."""
    return CONTENT_IDS | (int(digest(schema)[:8], 16) >> 2)


class FileRegistry:
    """Ids from committed folders of published schemas; those of unpublished models from their content.

    A published schema can be read under both ids, so that what was written before it was published stays readable.
    ``own`` are models of the user's, known from the start; ``folders`` hold other versions of them (``*.avsc``),
    earlier ones and those that newer code writes. They are looked into again when an id is not known: a process that
    goes on while its successors start needs only the file.
    """

    def __init__(
        self, published: Path = FOLDER, own: Iterable[type[BaseModel]] = (), *, folders: Iterable[Path] = ()
    ) -> None:
        """Read the folders; raises SchemaError for a damaged file or two schemas with one id."""
        self._schemas: dict[int, dict[str, Any]] = {}
        self._ids: dict[str, int] = {}
        self._models: dict[type[BaseModel], int] = {}
        for entry in load(published):
            self._add(entry.id, entry.schema)
            self._add(content_id(entry.schema), entry.schema)
            self._ids[digest(entry.schema)] = entry.id
        self._folders = list(folders)
        self._files: set[Path] = set()
        self._look()
        for model in own:
            self.id_of(model)

    def id_of(self, model: type[BaseModel]) -> int:
        """Return the published id of the model's schema, else the one made from its content."""
        known = self._models.get(model)
        if known is None:
            schema = avro_schema(model)
            known = self._ids.get(digest(schema)) or content_id(schema)
            self._add(known, schema)
            self._models[model] = known
        return known

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """Return a published schema or that of a known model; raises UnknownSchemaError."""
        if schema_id not in self._schemas and schema_id >= CONTENT_IDS:
            self._look()
        try:
            return self._schemas[schema_id]
        except KeyError:
            message = (
                f"schema id {schema_id} is unknown; publish the schema it was written with: streams schemas publish"
            )
            raise UnknownSchemaError(message) from None

    def _look(self) -> None:
        """Read the files of own schemas that are new."""
        for file in {file for folder in self._folders for file in own_files(folder)} - self._files:
            schema = read_own(file)
            self._add(content_id(schema), schema)
            self._files.add(file)

    def _add(self, schema_id: int, schema: dict[str, Any]) -> None:
        other = self._schemas.setdefault(schema_id, schema)
        if other != schema:
            message = (
                f"schemas {other['name']} and {schema['name']} have the same id {schema_id}; rename a field of one"
            )
            raise SchemaError(message)
