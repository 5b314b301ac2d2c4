"""`streams tables …`: ask for rows, wherever the worker that owns them runs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from streams.cli.io.options import LimitOption, OutputFormat, OutputOption

app = typer.Typer(help="Tables: list, get a row, scan, as they were, rebuilt.", no_args_is_help=True)

PAGE = 1_000  # what the gateway gives at a time

TableName = Annotated[str, typer.Argument(metavar="NAME", help="the table's name")]


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="tables")


@app.command("list")
def list_tables(output: OutputOption = OutputFormat.TEXT) -> None:
    """List the tables that are served."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.tables import TableList

    with gateway() as server:
        found = [one.to_json() for one in server.read(TableList, "/tables").tables]
    print_rows(found, ("name", "version", "pool", "of", "doc"), output, empty="No tables: see `streams new table`.")


@app.command("get")
def get_row(
    table: TableName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="the row's key")],
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print the row of a key, with the offset up to which it is true."""
    from streams.cli.io.output import print_record
    from streams.cli.pipeline import gateway
    from streams.contract.tables import TableRow

    with gateway() as server:
        row = server.read(TableRow, f"/tables/{quote(table, safe='')}/{quote(key, safe='')}")
    print_record(row.to_json(), output)


@app.command("scan")
def scan_rows(
    table: TableName,
    prefix: Annotated[str | None, typer.Option(help="only keys that begin so")] = None,
    by: Annotated[list[str] | None, typer.Option(help="FIELD=VALUE: only rows that this lookup finds")] = None,
    limit: LimitOption = 100,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print rows in the order of their keys."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.tables import RowPage

    wishes = dict(_wish(text) for text in by or [])
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    with gateway() as server:
        while len(rows) < limit:
            asked = {**wishes, "prefix": prefix, "limit": min(limit - len(rows), PAGE), "cursor": cursor}
            page = server.read(RowPage, f"/tables/{quote(table, safe='')}", **asked)
            rows += [row.to_json() for row in page.rows]
            cursor = page.next
            if not cursor:
                break
    print_rows(rows, ("key", "value", "topic", "partition", "offset"), output, empty="No rows.")


def _wish(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if not equals:
        message = f"{text!r} is not FIELD=VALUE."
        raise typer.BadParameter(message)
    return field, value
