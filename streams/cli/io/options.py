"""Options that many commands share, spelled once so that they are the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """How a reading command prints."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="text for people, json for programs")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="at most so many")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="only say how much it would touch")]
PoolOption = Annotated[str | None, typer.Option("--pool", help="pool of dedicated workers (default: STREAMS_POOL)")]
FromOption = Annotated[str, typer.Option("--from", help="earliest, latest, an offset or a time; inclusive")]
ToOption = Annotated[str, typer.Option("--to", help="latest, an offset or a time; exclusive")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="the run's id")]
