"""Tables as sources: their changelogs, with a column for each field of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.avro.derive import avro_schema
from streams.query.sql.views import (
    BIGINT,
    BOOLEAN,
    DATA,
    DOUBLE,
    JSON,
    RECORD,
    TIME,
    VARCHAR,
    Column,
    SqlSource,
    table_source,
)

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.define.tables import TableDef
    from streams.query.sql.views import ColumnType

_TYPES: Final[dict[str, ColumnType]] = {
    "string": VARCHAR,
    "long": BIGINT,
    "double": DOUBLE,
    "boolean": BOOLEAN,
    "timestamp-micros": TIME,
    "date": VARCHAR,
}
_OWN: Final = (*RECORD[:5], Column("deleted", BOOLEAN, "$deleted"), Column("later", BOOLEAN, "$later"))
_TAKEN: Final = frozenset(column.name for column in (*_OWN, DATA)) | {"known"}


def sources_of(catalog: Catalog) -> dict[str, SqlSource]:
    """Return the source of each table."""
    pools = catalog.pools()
    return {table.name: _source(table, pools if table.of_runs else (table.pool,)) for table in catalog.tables.values()}


def _source(table: TableDef, pools: tuple[str, ...]) -> SqlSource:
    fields = avro_schema(table.row)["fields"]
    columns = [Column(one["name"], _type(one["type"]), one["name"]) for one in fields if one["name"] not in _TAKEN]
    topics = tuple(f"table.{table.name}.v{table.version}.{pool}" for pool in pools)
    return SqlSource(
        table_source(table.name),
        topics,
        (*_OWN, *columns, DATA),
        key_columns=() if table.merge is not None else ("key",),  # parts of a row are in every partition
        changelog=True,
    )


def _type(schema: Any) -> ColumnType:
    """Return the type of a field's column; what SQL has no simple type for is JSON."""
    if isinstance(schema, list):
        others = [branch for branch in schema if branch != "null"]
        return _type(others[0]) if len(others) == 1 else JSON
    if isinstance(schema, dict):
        return _TYPES.get(schema.get("logicalType", ""), JSON)
    return _TYPES.get(schema, JSON)
