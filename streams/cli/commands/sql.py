"""`streams sql`: one SELECT over the topics."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.io.options import OutputFormat


class FileFormat(StrEnum):
    """The form of a result that is written as it is."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


class Answer(StrEnum):
    """The form of a result that is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("sql", rich_help_panel="History")(sql)


def sql(
    statement: Annotated[str, typer.Argument(metavar="SELECT", help="one SELECT over the views")],
    output: Annotated[
        Answer, typer.Option("--output", "-o", help="text for people; json as POST /sql answers, or csv")
    ] = Answer.TEXT,
    form: Annotated[FileFormat | None, typer.Option("--format", help="write the rows in this form")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="the file to write; its suffix says the form")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000_000, help="rows at most")] = 10_000,
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=86_400, help="seconds at most")] = 60.0,
    memory: Annotated[int, typer.Option("--memory", min=64, max=1 << 20, help="MiB at most, for DuckDB")] = 1_024,
    read: Annotated[int, typer.Option("--read", min=1, max=1 << 30, help="MiB of records at most")] = 16_384,
) -> None:
    """Print the rows of a SELECT over events, runs, run_events, steps, calls, dead_letters, ticks and tables."""
    import asyncio

    import orjson

    from streams.cli.io.output import console, print_rows
    from streams.cli.pipeline import settings_here
    from streams.query.sql.limits import Format, SqlLimits
    from streams.query.sql.process import SqlProcesses

    if out is not None and form is None:
        if out.suffix.removeprefix(".") not in set(FileFormat):
            raise typer.BadParameter("--out needs a file with the suffix .parquet, .csv or .json, or --format.")
        form = FileFormat(out.suffix.removeprefix("."))
    if form is FileFormat.PARQUET and out is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text: say where to with --out FILE.")
    limits = SqlLimits(limit, timeout, memory, read, result_mib=memory)
    asked: Format = form.value if form is not None else "csv" if output is Answer.CSV else "answer"
    found = asyncio.run(SqlProcesses(settings_here()).run(statement, limits, asked))
    if found.truncated:
        console(stderr=True).print(f"Only the first {limit} rows: there are more; see --limit.")
    if out is not None:
        out.write_bytes(found.body)
        print(f"{found.rows} rows in {out}.")
    elif asked == "answer" and output is Answer.TEXT:
        answer = orjson.loads(found.body)
        names = answer["columns"]
        rows = [dict(zip(names, row, strict=True)) for row in answer["rows"]]
        print_rows(rows, names, OutputFormat.TEXT, empty="No rows.")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(found.body)
