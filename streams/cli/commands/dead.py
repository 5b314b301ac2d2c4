"""`streams dead …`: what failed for good, why, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from streams.cli.io.options import DryRunOption, LimitOption, OutputFormat, OutputOption

if TYPE_CHECKING:
    from streams.cli.io.client import Gateway

app = typer.Typer(help="Dead letters: list, show, redrive, discard.", no_args_is_help=True)


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="dead")


class DeadLetterFilter(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REDRIVEN = "redriven"
    DISCARDED = "discarded"
    ALL = "all"


Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="ids, or enough of their beginnings")]
Fingerprint = Annotated[str | None, typer.Option("--fingerprint", help="all open ones with this kind of failure")]


@app.command("list")
def list_dead(
    *,
    group: Annotated[bool, typer.Option("--group", help="one line for each kind of failure")] = False,
    state: Annotated[DeadLetterFilter, typer.Option("--state", help="what became of them")] = DeadLetterFilter.OPEN,
    fingerprint: Fingerprint = None,
    limit: LimitOption = 100,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """List dead letters, the newest first."""
    from streams.cli.dead_letter_search import letters, lines
    from streams.cli.io.output import print_rows
    from streams.query.dead_letter_json import grouped
    from streams.query.dead_letters import MOST

    page = letters(MOST if group else limit, None if state is DeadLetterFilter.ALL else state.value, fingerprint)
    if group:
        print_rows(grouped(page.letters)[:limit], _GROUP, output, empty=_NONE)
    else:
        print_rows(lines(page), _LINE, output, empty=_NONE)


@app.command("show")
def show_dead(
    letter: Annotated[str, typer.Argument(metavar="ID", help="the dead letter's id, or enough of its beginning")],
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Show one dead letter with its cause and what it carried."""
    from streams.cli.dead_letter_search import find
    from streams.cli.io.output import print_record

    print_record(find(letter), output)


@app.command("redrive")
def redrive_dead(
    letters: Ids = None,
    *,
    fingerprint: Fingerprint = None,
    edit: Annotated[str | None, typer.Option("--edit", metavar="JSON|@FILE|-", help="the record's new value")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, max=1000, help="so many a second")] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Hand dead letters to their consumers again, which handle them as if they had never failed."""
    from streams.cli.data import read_json
    from streams.cli.pipeline import gateway

    _check(letters, fingerprint)
    if edit is not None and len(letters or ()) != 1:
        raise typer.BadParameter("--edit changes one dead letter: name it")
    body = {} if edit is None else {"edit": read_json(edit)}
    with gateway() as server:
        if fingerprint is not None:
            _redrive_kind(server, fingerprint, rate, output, dry_run=dry_run)
        else:
            _each(server, letters or [], "redrive", body, output, rate=rate, dry_run=dry_run)


@app.command("discard")
def discard_dead(
    letters: Ids = None,
    *,
    fingerprint: Fingerprint = None,
    reason: Annotated[str, typer.Option("--reason", help="why; recorded with it")] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Let dead letters go: they stay on the log, and are no more listed as open."""
    from streams.cli import dead_letter_search as log
    from streams.cli.pipeline import gateway
    from streams.query.dead_letters import MOST

    _check(letters, fingerprint)
    given = list(letters or ())
    if fingerprint is not None:
        given = [
            letter.letter.dead_id for letter in log.letters(MOST, DeadLetterFilter.OPEN.value, fingerprint).letters
        ]
    with gateway() as server:
        _each(server, given, "discard", {"reason": reason} if reason else {}, output, dry_run=dry_run)


def _check(letters: list[str] | None, fingerprint: str | None) -> None:
    if bool(letters) == (fingerprint is not None):
        raise typer.BadParameter("name dead letters by their ids, or a kind of failure with --fingerprint")


def _redrive_kind(
    server: Gateway, fingerprint: str, rate: float | None, output: OutputFormat, *, dry_run: bool
) -> None:
    """Ask for a few seconds' worth after the other until none is left."""
    from rich.progress import Progress

    from streams.cli.io.output import console
    from streams.contract.dead_letters import RedriveAccepted, RedrivePlan

    asked: dict[str, Any] = {"fingerprint": fingerprint, **({} if rate is None else {"rate": rate})}
    if dry_run:
        found = server.send(RedrivePlan, "/dead-letters/redrive", {**asked, "dry_run": True})
        _print(output, f"{found.matching} dead letters would be redriven.", found.to_json())
        return
    done: list[str] = []
    refused: dict[str, str] = {}
    screen = console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("redriving", total=None)
        while True:
            answer = server.send(RedriveAccepted, "/dead-letters/redrive", asked)
            done += answer.redriven
            refused |= {one.dead_id: one.detail for one in answer.refused}
            progress.update(task, completed=len(done), total=len(done) + answer.left)
            if not answer.left or not answer.redriven:
                break
    text = f"{len(done)} dead letters redriven, {len(refused)} refused."
    _print(output, text, {"redriven": done, "refused": refused})


def _each(
    server: Gateway,
    given: list[str],
    command: str,
    body: dict[str, Any],
    output: OutputFormat,
    *,
    rate: float | None = None,
    dry_run: bool = False,
) -> None:
    from streams.cli.dead_letter_search import ids_of
    from streams.cli.io.client import pause
    from streams.contract.dead_letters import DeadLetterChanged

    found = ids_of(given)
    if dry_run:
        verb = "redriven" if command == "redrive" else "discarded"
        _print(output, f"{len(found)} dead letters would be {verb}.", {"matching": len(found), "dead_ids": found})
        return
    changed: list[DeadLetterChanged] = []
    for dead_id in found:
        if changed and rate is not None:
            pause(1 / rate)
        path = f"/dead-letters/{quote(dead_id, safe='')}/{command}"
        changed.append(server.send(DeadLetterChanged, path, body))
        if output is OutputFormat.TEXT:
            print(f"{dead_id}: {changed[-1].state}")
    if output is OutputFormat.JSON:
        _print(output, "", [one.to_json() for one in changed])
    elif not changed:
        print(_NONE)


def _print(output: OutputFormat, text: str, value: Any) -> None:
    from streams.cli.io.output import print_json

    if output is OutputFormat.JSON:
        print_json(value)
    else:
        print(text)


_NONE = "No dead letters."
_LINE = ("dead_id", "state", "time", "consumer", "error_type", "error", "fingerprint")
_GROUP = ("count", "fingerprint", "consumer", "error_type", "error", "last")
