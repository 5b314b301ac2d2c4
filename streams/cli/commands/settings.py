"""`streams settings`: what this process would run with, and where each choice comes from."""

from __future__ import annotations

import typer

from streams.cli.io.options import OutputFormat, OutputOption


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("settings", rich_help_panel="Start")(print_settings)


def print_settings(output: OutputOption = OutputFormat.TEXT) -> None:
    """Print every setting with its value (secrets masked), default and source."""
    from streams.cli.io.output import print_rows
    from streams.settings import describe, load

    rows = [row._asdict() for row in describe(load())]
    print_rows(rows, ("name", "value", "default", "source"), output, empty="")
