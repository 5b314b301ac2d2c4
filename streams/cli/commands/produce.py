"""`streams produce TYPE`: put events on the log, one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.io.options import OutputFormat, OutputOption

if TYPE_CHECKING:
    from streams.cli.io.client import Gateway
    from streams.contract.events import EventAccepted


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("produce", rich_help_panel="Work")(produce_events)


def produce_events(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="the event type, such as new_data_arrived")],
    data: Annotated[str, typer.Option("--data", "-d", help="JSON, JSON lines, @FILE or -")] = "-",
    key: Annotated[str | None, typer.Option("--key", help="key of the record (default: the type's key field)")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Validate events, write them, and wait until the broker has acknowledged each."""
    from streams.cli.data import read_values
    from streams.cli.io.output import print_json
    from streams.cli.pipeline import gateway

    values = read_values(data)
    with gateway() as server:
        answers = [_send(server, type, key, value) for value in _progress(values)]
    if output is OutputFormat.JSON:
        print_json([one.to_json() for one in answers] if len(answers) != 1 else answers[0].to_json())
    elif len(answers) == 1:
        (one,) = answers
        print(f"{one.id} {one.topic}[{one.partition}]@{one.offset}")
    else:
        print(f"{len(answers)} events acknowledged.")


def _send(server: Gateway, type: str, key: str | None, data: Any) -> EventAccepted:
    from streams.contract.events import EventAccepted

    body = {"type": type, "data": data}
    return server.send(EventAccepted, "/events", {**body, "key": key} if key is not None else body)


def _progress(values: list[Any]) -> Any:
    """Return the values, with a progress bar on a terminal when they are many."""
    from rich.progress import track

    from streams.cli.io.output import console

    screen = console(stderr=True)
    many = len(values) > 10 and screen.is_terminal
    return track(values, description="Producing", console=screen) if many else values
