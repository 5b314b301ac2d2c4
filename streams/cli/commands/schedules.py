"""`streams schedules …`: what the clock starts, and the orders to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

import typer

from streams.cli.io.options import DryRunOption, OutputFormat, OutputOption

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

app = typer.Typer(help="Schedules: list, pause, resume, trigger, backfill.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="the schedule's name")]
_COLUMNS = ("name", "cron", "every_s", "tz", "overlap", "next_slot", "last_slot", "paused", "missed", "skipped")


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="schedules")


@app.command("list")
def list_schedules(output: OutputOption = OutputFormat.TEXT) -> None:
    """List schedules with their next slot, and what was missed or skipped."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.schedules import ScheduleList

    with gateway() as server:
        rows = [one.to_json() for one in server.read(ScheduleList, "/schedules").schedules]
    print_rows(rows, _COLUMNS, output, empty="No schedules: a function under @schedule is one.")


@app.command()
def pause(name: Name) -> None:
    """Let no slot fire until it is resumed."""
    _command(name, "pause")
    print(f"{name} is paused: no slot fires until `streams schedules resume {name}`.")


@app.command()
def resume(name: Name) -> None:
    """Let slots from now on fire again, also where the run of an earlier one is waited for."""
    _command(name, "resume")
    print(f"{name} goes on with its next slot.")


@app.command()
def trigger(name: Name) -> None:
    """Fire once more, now; also while paused, and whatever runs."""
    _command(name, "trigger")
    print(f"{name} is triggered: its tick is on `ticks` once its function has returned.")


@app.command()
def backfill(
    name: Name,
    *,
    start: Annotated[str, typer.Option("--from", help="a time, inclusive; without offset in the schedule's zone")],
    end: Annotated[str, typer.Option("--to", help="a time, exclusive")],
    force: Annotated[bool, typer.Option("--force", help="fire also the slots that have fired")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Fire slots of the past that did not fire; they keep their ids, so that what ran does not run again."""
    from streams.contract.schedules import BackfillPlan, ScheduleCommandAccepted

    body = {"from": start, "to": end, "force": force, "dry_run": dry_run}
    if dry_run:
        slots = _send(BackfillPlan, name, "backfill", body).slots
        print(f"{name} has {slots} slots there; nothing was fired.")
    else:
        slots = _send(ScheduleCommandAccepted, name, "backfill", body).slots
        print(f"{name}: {slots} slots are gone through, a few at a time; `streams schedules list` shows it.")


def _command(name: str, command: str) -> None:
    from streams.contract.schedules import ScheduleCommandAccepted

    _send(ScheduleCommandAccepted, name, command)


def _send(kind: type[M], name: str, command: str, body: dict[str, Any] | None = None) -> M:
    from streams.cli.pipeline import gateway

    with gateway() as server:
        return server.send(kind, f"/schedules/{quote(name, safe='')}/{command}", body)
