"""Results of SQL."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streams.contract.model import ContractModel


class SqlRows(ContractModel):
    """The rows of a statement, each a list with a value for each column."""

    columns: list[str] = Field(description="names of the columns")
    types: list[str] = Field(description="Arrow types of the columns")
    rows: list[list[Any]]
    truncated: bool = Field(description="true where the statement has more rows than it may return")
    records_read: int = Field(description="records of topics that were read for it")
    bytes_read: int = Field(description="bytes of their keys and values")
