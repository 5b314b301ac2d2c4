"""`streams breakers …`: which tools are cut off."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from streams.cli.io.options import OutputFormat, OutputOption

app = typer.Typer(help="Circuit breakers of tools: list, open, close.", no_args_is_help=True)

Tool = Annotated[str, typer.Argument(metavar="TOOL", help="the tool's name")]


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="breakers")


@app.command("list")
def list_breakers(output: OutputOption = OutputFormat.TEXT) -> None:
    """List the breakers of tools with their state."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.breakers import BreakerList

    with gateway() as server:
        rows = [one.to_json() for one in server.read(BreakerList, "/breakers").breakers]
    columns = ("tool", "state", "since", "said_by", "forced", "retry_after")
    print_rows(rows, columns, output, empty="No breakers: @tool(breaker=Breaker()) gives one.")


@app.command("open")
def open_breaker(tool: Tool) -> None:
    """Let no call of a tool begin until the breaker is closed by hand."""
    _switch(tool, "open")
    print(f"{tool} is cut off on all workers until `streams breakers close {tool}`.")


@app.command("close")
def close_breaker(tool: Tool) -> None:
    """Let calls of a tool begin again."""
    _switch(tool, "closed")
    print(f"{tool} may be called again.")


def _switch(tool: str, state: str) -> None:
    from streams.cli.pipeline import gateway
    from streams.contract.breakers import BreakerAccepted

    with gateway() as server:
        server.send(BreakerAccepted, f"/breakers/{quote(tool, safe='')}", {"state": state})
