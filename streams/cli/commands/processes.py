"""`streams dev`, `worker`, `gateway`: the processes that stay up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.io.options import PoolOption

PANEL = "Start"
MOST_WORKERS = 64
PortOption = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="port to bind; 0: a free one")]


def add_to(streams: typer.Typer) -> None:
    """Add the commands to the command line."""
    streams.command("dev", rich_help_panel=PANEL)(start_dev)
    streams.command("declare", hidden=True)(declare)
    streams.command("worker", rich_help_panel=PANEL)(start_worker)
    streams.command("gateway", rich_help_panel=PANEL)(start_gateway)


def start_dev(
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="workers to keep alive")] = None,
    port: PortOption = None,
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="folder of everything local")] = None,
    pool: Annotated[
        list[str] | None, typer.Option("--pool", metavar="NAME=N", help="also N workers of a pool; may be repeated")
    ] = None,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="wipe the state folder first")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="restart the workers after an edit of your code")] = False,
) -> None:
    """Start Kafka, workers, gateway and console, and stay up until Ctrl-C."""
    import asyncio

    from streams.local.dev import run_dev
    from streams.settings import load

    flags = {"workers": workers, "gateway_port": port, "state_dir": state_dir}
    settings = load(**{name: value for name, value in flags.items() if value is not None})
    pools = dict(map(_pool, pool or ()))
    command = run_dev(settings, workers=settings.workers, reset=reset, reload=reload, pools=pools)
    raise typer.Exit(asyncio.run(command))


def declare(known: Annotated[str, typer.Option("--known")] = "") -> None:
    """Import the code, create its topics, and print its fingerprint; there is no new topic while that is `known`."""
    from streams.app import discover
    from streams.local.declare import declare_topics
    from streams.local.fingerprint import fingerprint
    from streams.settings import load

    settings = load()
    catalog = discover(settings.apps)
    found = fingerprint(catalog)
    if found != known:
        declare_topics(settings, catalog)
    print(found)


def _pool(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not count.isascii() or not count.isdigit() or int(count) > MOST_WORKERS:
        message = f"{text!r} is not NAME=N, such as heavy=2, with N up to {MOST_WORKERS}."
        raise typer.BadParameter(message, param_hint="--pool")
    return name, int(count)


def start_worker(
    pool: PoolOption = None,
    slot: Annotated[
        str | None, typer.Option("--slot", help="names the state folder (default: the next free one)")
    ] = None,
    port: PortOption = None,
) -> None:
    """Run one worker until SIGTERM, then drain and leave."""
    from streams.cli.pipeline import settings_here

    settings = settings_here(pool=pool, slot=slot, worker_port=port)
    settings.kafka()  # says how to get one before anything heavy is loaded
    from streams.worker.main import run

    run(settings, settings.pool, settings.slot)


def start_gateway(
    host: Annotated[
        str | None, typer.Option("--host", help="address to bind; others than loopback need API keys")
    ] = None,
    port: PortOption = None,
) -> None:
    """Run the gateway until SIGTERM."""
    from streams.cli.pipeline import settings_here

    settings = settings_here(gateway_host=host, gateway_port=port)
    settings.kafka()
    from streams.gateway.serve import serve

    serve(settings)
