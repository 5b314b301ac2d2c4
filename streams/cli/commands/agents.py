"""`streams agents …`: what can be run, and the commands to its queue."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from streams.cli.io.options import OutputFormat, OutputOption

app = typer.Typer(help="Agents that can be run: list, pause, resume.", no_args_is_help=True)


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="agents")


@app.command("list")
def list_agents(output: OutputOption = OutputFormat.TEXT) -> None:
    """List agents with the input that they take."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.agents import AgentList

    columns = ("name", "pool", "concurrency", "priority", "paused", "queued", "waits", "doc")
    with gateway() as server:
        rows = [one.to_json() for one in server.read(AgentList, "/agents").agents]
    print_rows(rows, columns, output, empty="No agents: `streams new agent NAME` writes one.")


Name = Annotated[str, typer.Argument(metavar="NAME", help="the agent's name")]


@app.command()
def pause(name: Name) -> None:
    """Let no queued run of an agent begin; those that have begun go on."""
    _command(name, "pause")
    print(f"{name} is paused: its queue is kept until `streams agents resume {name}`.")


@app.command()
def resume(name: Name) -> None:
    """Let the queued runs of an agent begin again."""
    _command(name, "resume")
    print(f"{name} goes on with its queue.")


def _command(name: str, command: str) -> None:
    from streams.cli.pipeline import gateway
    from streams.contract.agents import AgentCommandAccepted

    with gateway() as server:
        server.send(AgentCommandAccepted, f"/agents/{quote(name, safe='')}/{command}")
