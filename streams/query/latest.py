"""A table's rows as its changelog has them: for those who need few rows, rarely, and are not its owner.

The changelog is compacted, so it is about as long as the table. Blocking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.app import Catalog
from streams.query.codec import codec_of
from topics.names import Names
from topics.reader import read

if TYPE_CHECKING:
    from streams.define.tables import TableDef
    from streams.settings import Settings


def rows_of(settings: Settings, table: TableDef, key: str | None = None) -> dict[str, Any]:
    """Return the committed rows by key, or that of one key.

    Raises TopicError when the log cannot be read, SchemaError for a row that cannot.
    """
    codec = codec_of(settings, Catalog(tables={table.name: table}))
    topic = Names(settings.topic_prefix).table(table.name, table.version, table.pool)
    raw: dict[str, bytes] = {}
    for record in read(settings.kafka(), topic, key=key):
        name = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            raw.pop(name, None)
        else:
            raw[name] = record.value
    return {name: codec.decode(value, table.row) for name, value in raw.items()}
