"""What a database gives back, and how much of it, in words that both kinds of database share."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

MAX_ROWS: Final = 1_000
MAX_BYTES: Final = 1_000_000
MAX_SQL: Final = 20_000
SECONDS: Final = 20.0


class QueryRows(BaseModel):
    """The rows by column name; `truncated` says that there were more than were asked for or fit into a megabyte."""

    rows: list[dict[str, Any]]
    count: int
    truncated: bool
