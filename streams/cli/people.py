"""`streams workers …`, `streams agents …`: who is there to do the work."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from streams.cli.io.options import OutputFormat, OutputOption

workers = typer.Typer(help="Workers that are alive.", no_args_is_help=True)
agents = typer.Typer(help="Agents that can be run: list, pause, resume.", no_args_is_help=True)


@workers.command("list")
def list_workers(output: OutputOption = OutputFormat.TEXT) -> None:
    """List workers with the partitions that they own."""
    columns = ("worker_id", "pool", "slot", "state", "silent_s", "pid", "url", "partitions", "running")
    _print("/workers", "workers", columns, output, "No worker is alive: start one with `streams worker`.")


@agents.command("list")
def list_agents(output: OutputOption = OutputFormat.TEXT) -> None:
    """List agents with the input that they take."""
    columns = ("name", "pool", "concurrency", "priority", "paused", "queued", "waits", "doc")
    _print("/agents", "agents", columns, output, "No agents: `streams new agent NAME` writes one.")


Name = Annotated[str, typer.Argument(metavar="NAME", help="the agent's name")]


@agents.command()
def pause(name: Name) -> None:
    """Let no queued run of an agent begin; those that have begun go on."""
    _order(name, "pause")
    print(f"{name} is paused: its queue is kept until `streams agents resume {name}`.")


@agents.command()
def resume(name: Name) -> None:
    """Let the queued runs of an agent begin again."""
    _order(name, "resume")
    print(f"{name} goes on with its queue.")


def _order(name: str, command: str) -> None:
    from streams.cli.pipeline import gateway

    with gateway() as server:
        server.post(f"/agents/{quote(name, safe='')}/{command}", None)


def _print(path: str, name: str, columns: tuple[str, ...], output: OutputFormat, empty: str) -> None:
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway

    with gateway() as server:
        body: Any = server.get(path)
    print_rows(body.get(name, []) if isinstance(body, dict) else body, columns, output, empty=empty)
