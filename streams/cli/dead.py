"""`streams dead …`: what failed for good, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.options import LimitOption, Output, OutputOption

app = typer.Typer(help="Dead letters: list, show.", no_args_is_help=True)


@app.command("list")
def list_dead(
    *,
    group: Annotated[bool, typer.Option("--group", help="one line for each kind of failure")] = False,
    limit: LimitOption = 100,
    output: OutputOption = Output.TEXT,
) -> None:
    """List dead letters, the newest first."""
    from streams.cli.letters import grouped, letters
    from streams.cli.output import print_rows

    found = letters(limit)
    if group:
        print_rows(
            grouped(found), ("count", "fingerprint", "consumer", "error_type", "error", "last"), output, empty=_NONE
        )
        return
    columns = ("dead_id", "source_topic", "source_partition", "source_offset", "consumer", "error_type", "error")
    print_rows(found, columns, output, empty=_NONE)


@app.command("show")
def show_dead(
    letter: Annotated[str, typer.Argument(metavar="ID", help="the dead letter's id, or enough of its beginning")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one dead letter with its cause and what it carried."""
    from streams.cli.letters import find
    from streams.cli.output import print_record

    record: dict[str, Any] = find(letter)
    print_record(record, output)


_NONE = "No dead letters."
