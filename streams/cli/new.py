"""`streams new …`: writes the one file that something new takes, with its test and an input that works."""

from __future__ import annotations

import typer

app = typer.Typer(help="Write a new agent, tool, source, reaction or table: one file.", no_args_is_help=True)
