"""`streams budgets …`, `streams breakers …`: what may be spent, and which tools are cut off."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from streams.cli.io.options import OutputFormat, OutputOption

budgets = typer.Typer(help="Budgets of runs, agents and concurrency keys: list, set.", no_args_is_help=True)
breakers = typer.Typer(help="Circuit breakers of tools: list, open, close.", no_args_is_help=True)

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="run:ID, agent:NAME or key:AGENT/VALUE")]
Tool = Annotated[str, typer.Argument(metavar="TOOL", help="the tool's name")]


@budgets.command("list")
def list_budgets(output: OutputOption = OutputFormat.TEXT) -> None:
    """List what was used of each budget, and which are spent."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway

    with gateway() as server:
        rows = server.get("/budgets")["budgets"]
    columns = ("scope", "day", "declared", "given", "used", "under_way", "spent")
    empty = "No budgets: @agent(budget=Budget(usd=5)) gives one, STREAMS_BUDGETS gives them to all agents."
    print_rows(rows, columns, output, empty=empty)


@budgets.command("set")
def set_budget(
    scope: Scope,
    *,
    tokens: Annotated[int | None, typer.Option("--tokens", min=0, help="tokens, in and out")] = None,
    usd: Annotated[float | None, typer.Option("--usd", min=0, help="US dollars")] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=0, help="model calls")] = None,
) -> None:
    """Give a scope another budget than its agent's code says; without any limit, that one counts again."""
    from streams.cli.pipeline import gateway

    given = {"tokens": tokens, "usd": usd, "calls": calls}
    wanted = {name: value for name, value in given.items() if value is not None}
    with gateway() as server:
        server.post(f"/budgets/{quote(scope, safe=':/')}", wanted)
    said = ", ".join(f"{value:g} {name}" for name, value in wanted.items()) or "what its agent's code says"
    print(f"{scope} may use {said}; runs that wait for it go on within seconds.")


@breakers.command("list")
def list_breakers(output: OutputOption = OutputFormat.TEXT) -> None:
    """List the breakers of tools with their state."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway

    with gateway() as server:
        rows = server.get("/breakers")["breakers"]
    columns = ("tool", "state", "since", "said_by", "forced", "retry_after")
    print_rows(rows, columns, output, empty="No breakers: @tool(breaker=Breaker()) gives one.")


@breakers.command("open")
def open_breaker(tool: Tool) -> None:
    """Let no call of a tool begin until the breaker is closed by hand."""
    _switch(tool, "open")
    print(f"{tool} is cut off on all workers until `streams breakers close {tool}`.")


@breakers.command("close")
def close_breaker(tool: Tool) -> None:
    """Let calls of a tool begin again."""
    _switch(tool, "closed")
    print(f"{tool} may be called again.")


def _switch(tool: str, state: str) -> Any:
    from streams.cli.pipeline import gateway

    with gateway() as server:
        return server.post(f"/breakers/{quote(tool, safe='')}", {"state": state})
