"""`streams run AGENT`: submit a run, and follow it if asked."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import typer

from streams.cli.io.options import OutputFormat, OutputOption


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("run", rich_help_panel="Work")(submit)


def submit(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="the agent's name; `streams agents list` shows them")],
    given: Annotated[str, typer.Option("--input", "-i", help="the agent's input: JSON, @FILE or -")] = "{}",
    priority: Annotated[str | None, typer.Option(help="high, default or low")] = None,
    run_id: Annotated[str | None, typer.Option(help="an id of your own; the same id is the same run")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="the same key is the same run")] = None,
    deadline: Annotated[float | None, typer.Option(help="seconds after which the run is stopped")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME|SECONDS", help="when it may begin: a time, or seconds from now")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="stay until it ends and print its result")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Submit a run of AGENT and print its id."""
    from streams.cli.data import read_json
    from streams.cli.follow import follow as follow_run
    from streams.cli.io.output import print_json
    from streams.cli.pipeline import gateway
    from streams.contract.runs import RunAccepted

    body: dict[str, Any] = {"agent": agent, "input": read_json(given)}
    optional = {"priority": priority, "run_id": run_id, "deadline_s": deadline, "not_before": moment(not_before)}
    body |= {name: value for name, value in optional.items() if value is not None}
    with gateway() as server:
        accepted = server.send(RunAccepted, "/runs", body, key=idempotency_key)
        if not follow:
            print_json(accepted.to_json()) if output is OutputFormat.JSON else print(accepted.run_id)
            return
        raise typer.Exit(follow_run(server, accepted.run_id, output))


def moment(text: str | None) -> str | float | None:
    """Return what POST /runs takes; a time without offset is in this machine's zone."""
    if text is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is neither a time nor a number of seconds") from None
