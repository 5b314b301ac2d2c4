"""`streams tables at` and `streams tables rebuild`: a table as it was, and folded again to see that it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streams.cli.commands.tables import app
from streams.cli.io.options import OutputFormat, OutputOption

if TYPE_CHECKING:
    from streams.replay.tables import TableHistory

T = TypeVar("T")

TableName = Annotated[str, typer.Argument(metavar="NAME", help="the table's name")]


def add_to(_: typer.Typer) -> None:
    """Add the commands to those of tables."""
    app.command("at")(rows_at)
    app.command("rebuild")(rebuild)


def rows_at(
    table: TableName,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="the row's key; without it: all rows")] = None,
    offset: Annotated[int | None, typer.Option(min=0, help="as the record with this offset left it")] = None,
    time: Annotated[str | None, typer.Option(help="a time (without zone it is local), or so long ago: 1h")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print rows as they were, folded again up to there as long as the topic still has what made them."""
    from streams.cli.io.output import print_record, print_rows
    from streams.cli.positions import moment
    from streams.replay.tables import At

    if (offset is None) == (time is None):
        raise typer.BadParameter("say when: either --offset or --time.")
    at = At(offset=offset) if time is None else At(time_ms=int(moment(time).timestamp() * 1000))
    columns = ("key", "value", "topic", "partition", "offset")
    if key is not None:
        print_record(_asked(table, lambda history: history.row(key, at)), output)
    else:
        print_rows(_asked(table, lambda history: history.rows(at)), columns, output, empty="No rows then.")


def rebuild(table: TableName, output: OutputOption = OutputFormat.TEXT) -> None:
    """Fold NAME again from its topic, in memory, and compare with the rows that are served: byte by byte."""
    from streams.cli.io.output import console, print_json, print_rows

    check = _asked(table, lambda history: history.check())
    if output is OutputFormat.JSON:
        print_json({**asdict(check), "equal": check.equal})
    else:
        print_rows(check.different, ("key", "partition", "served", "folded"), output, empty="Every row is the same.")
        failed = f", at {check.failed} of which the fold failed" if check.failed else ""
        console().print(
            f"{check.records} records{failed} make {check.rows} rows; {check.served} are served, "
            f"{check.differing} differ"
        )
    if not check.equal:
        raise typer.Exit(1)


def _asked(table: str, ask: Callable[[TableHistory], T]) -> T:
    """Ask a table's history, showing on a terminal how far it is."""
    from streams.cli.commands.replay import progress
    from streams.cli.io.output import console
    from streams.cli.log import open_log
    from streams.replay.log import ReplayLog
    from streams.replay.tables import TableHistory

    here = open_log()
    log = ReplayLog(here.kafka, here.codec, here.names, here.catalog)
    with progress(console(stderr=True)) as shown:
        return ask(TableHistory(log, table, lambda records: shown("folding", records, None)))
