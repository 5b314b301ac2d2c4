"""The command `streams demo`: where its state goes, and what its exit code is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("demo", rich_help_panel="Start")(run_demo)


def run_demo(
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="folder to run in and keep (default: a throwaway one)")
    ] = None,
) -> None:
    """Start a pipeline, send it a signed GitHub delivery, kill its worker in mid-run, and show that nothing is lost."""
    import asyncio
    import tempfile

    from streams.app import EXAMPLES
    from streams.cli.demo.story import play
    from streams.settings import load

    settings = load().changed("streams demo", apps=(EXAMPLES,))  # whatever else there is
    if state_dir is not None:
        raise typer.Exit(asyncio.run(play(settings.changed(state_dir=state_dir))))
    with tempfile.TemporaryDirectory(prefix="streams-demo-", ignore_cleanup_errors=True) as folder:
        raise typer.Exit(asyncio.run(play(settings.changed(state_dir=Path(folder)))))
