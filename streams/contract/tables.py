"""Tables and their rows."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streams.contract.model import ContractModel, PoolWithoutWorker


class TableInfo(ContractModel):
    """A table as the code declares it."""

    name: str
    version: int
    pool: str = Field(description="* for a table of runs, which each pool has")
    of: list[str] = Field(description="the types of events that it folds")
    lookups: list[str]
    doc: str


class TableList(ContractModel):
    """All tables."""

    tables: list[TableInfo]


class TableRow(ContractModel):
    """A row, with the place on the log from which it is complete; null for a row that is merged from partitions."""

    key: str
    value: Any
    topic: str | None
    partition: int | None
    offset: int | None
    stale: bool = Field(default=False, description="true for the answer of a standby")


class RowPage(ContractModel):
    """Rows in the order of their keys."""

    rows: list[TableRow]
    next: str | None
    incomplete: list[PoolWithoutWorker] = Field(default_factory=list)
