"""`streams workers …`: who is there to do the work."""

from __future__ import annotations

import typer

from streams.cli.io.options import OutputFormat, OutputOption

app = typer.Typer(help="Workers that are alive.", no_args_is_help=True)


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="workers")


@app.command("list")
def list_workers(output: OutputOption = OutputFormat.TEXT) -> None:
    """List workers with the partitions that they own."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.workers import WorkerList

    columns = ("worker_id", "pool", "slot", "state", "silent_s", "pid", "url", "partitions", "running")
    with gateway() as server:
        rows = [one.to_json() for one in server.read(WorkerList, "/workers").workers]
    print_rows(rows, columns, output, empty="No worker is alive: start one with `streams worker`.")
