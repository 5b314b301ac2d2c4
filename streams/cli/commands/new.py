"""`streams new …`: writes what something new takes, with its test and an example that works, or a whole project."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Write a new agent, tool, source, reaction or table (one file), or a project.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the function, and of its file")]
Into = Annotated[str | None, typer.Option("--into", help="package to write into (default: the first of STREAMS_APPS)")]


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="new")


@app.command("agent")
def new_agent(name: Name, into: Into = None) -> None:
    """Write an agent: a durable function with its input and output."""
    _write("agent", name, into, "streams run {name} --input @{example} --follow")


@app.command("tool")
def new_tool(name: Name, into: Into = None) -> None:
    """Write a tool that agents call."""
    _write("tool", name, into, "pytest {test}")


@app.command("source")
def new_source(name: Name, into: Into = None) -> None:
    """Write a webhook source."""
    _write("source", name, into, "pytest {test}")


@app.command("reaction")
def new_reaction(name: Name, into: Into = None) -> None:
    """Write a reaction to events."""
    _write("reaction", name, into, "streams produce new_data_arrived --data @{example}")


@app.command("table")
def new_table(name: Name, into: Into = None) -> None:
    """Write a table: a fold of events into rows."""
    _write(
        "table", name, into, "streams produce new_data_arrived --data @{example}, then streams tables get {name} shop"
    )


@app.command("project")
def new_project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the folder; its package has _ in place of -")],
) -> None:
    """Write a project of your own: one agent, its test, settings, Dockerfile and compose file."""
    from pathlib import Path

    from streams.cli.project import write_project

    here = Path.cwd()
    for path in write_project(name, here):
        print(f"Wrote {path.relative_to(here)}")
    print(f"Next: cd {name} && uv run pytest && uv run streams dev --reload")


def _write(kind: str, name: str, into: str | None, then: str) -> None:
    from pathlib import Path

    from streams.cli.scaffold import place, write
    from streams.settings import load

    here = Path.cwd()
    package = into or next((name for name in load().apps if name.partition(".")[0] != "streams"), None)
    paths = [
        path.relative_to(here) if path.is_relative_to(here) else path
        for path in write(kind, name, place(kind, package, here))
    ]
    for path in paths:
        print(f"Wrote {path}")
    _, test, example = paths
    print(f"Restart the workers, then try it: {then.format(name=name, test=test, example=example)}")
