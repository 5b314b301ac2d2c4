"""`streams budgets …`: what may be used."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from streams.cli.io.options import OutputFormat, OutputOption

app = typer.Typer(help="Budgets of runs, agents and concurrency keys: list, set.", no_args_is_help=True)

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="run:ID, agent:NAME or key:AGENT/VALUE")]


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="budgets")


@app.command("list")
def list_budgets(output: OutputOption = OutputFormat.TEXT) -> None:
    """List what was used of each budget, and which are spent."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.budgets import BudgetList

    with gateway() as server:
        rows = [one.to_json() for one in server.read(BudgetList, "/budgets").budgets]
    columns = ("scope", "day", "declared", "given", "used", "under_way", "spent")
    empty = "No budgets: @agent(budget=Budget(usd=5)) gives one, STREAMS_BUDGETS gives them to all agents."
    print_rows(rows, columns, output, empty=empty)


@app.command("set")
def set_budget(
    scope: Scope,
    *,
    tokens: Annotated[int | None, typer.Option("--tokens", min=0, help="tokens, in and out")] = None,
    usd: Annotated[float | None, typer.Option("--usd", min=0, help="US dollars")] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=0, help="model calls")] = None,
) -> None:
    """Give a scope another budget than its agent's code says; without any limit, that one counts again."""
    from streams.cli.pipeline import gateway
    from streams.contract.budgets import BudgetAccepted

    given = {"tokens": tokens, "usd": usd, "calls": calls}
    wanted = {name: value for name, value in given.items() if value is not None}
    with gateway() as server:
        server.send(BudgetAccepted, f"/budgets/{quote(scope, safe=':/')}", wanted)
    limits = ", ".join(f"{value:g} {name}" for name, value in wanted.items()) or "what its agent's code says"
    print(f"{scope} may use {limits}; runs that wait for it go on within seconds.")
