"""What a statement may use, and the forms of its result: known without loading DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["json", "csv", "parquet", "answer"]
"""`answer` is the body of `POST /sql`."""


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """What a statement may use; `rows` are returned at most, what is more is an error."""

    rows: int = 10_000
    seconds: float = 20.0
    memory_mib: int = 512
    read_mib: int = 1_024
    result_mib: int = 16
