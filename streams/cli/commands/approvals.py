"""`streams runs approvals`, `approve`, `reject`: what runs ask people, and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.commands.runs import app
from streams.cli.io.options import OutputFormat, OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.cli.io.client import Gateway

COLUMNS: Final = ("run_id", "token", "what", "parameters", "asked_at", "until")
PAGE: Final = 1_000
"""Runs of one page of `GET /approvals`."""

RunId = Annotated[str, typer.Argument(metavar="ID", help="the run's id")]
Token = Annotated[str | None, typer.Option(help="which question, where a run asks several at once")]
Comment = Annotated[str | None, typer.Option(help="text for the run, which is recorded")]


def add_to(_: typer.Typer) -> None:
    """Add the commands to those of runs."""
    app.command("approvals")(list_approvals)
    app.command("approve")(approve)
    app.command("reject")(reject)


def list_approvals(
    run: Annotated[str | None, typer.Argument(metavar="[ID]", help="the run's id; without it: all that wait")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """List what waits for a person: the run, what it asks, and with which exact parameters."""
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway

    with gateway() as server:
        rows = list(_asked(server, run)) if run is not None else list(_all(server))
    print_rows(rows, COLUMNS, output, empty="Nothing waits for a person.")


def approve(run: RunId, token: Token = None, comment: Comment = None) -> None:
    """Approve what a run asks: this one thing, with the parameters that it shows."""
    _answer(run, "approve", token, comment)


def reject(run: RunId, token: Token = None, comment: Comment = None) -> None:
    """Reject what a run asks for; the run gets the answer and decides how to go on."""
    _answer(run, "reject", token, comment)


def _answer(run: str, verb: str, token: str | None, comment: str | None) -> None:
    from streams.cli.io.output import cell
    from streams.cli.pipeline import gateway
    from streams.contract.approvals import ApprovalAccepted

    body = {name: value for name, value in (("token", token), ("comment", comment)) if value is not None}
    with gateway() as server:
        accepted = server.send(ApprovalAccepted, f"/runs/{run}/{verb}", body)
    with_what = "" if accepted.parameters is None else f" with {cell(accepted.parameters)}"
    print(f"Run {run} was told {'yes' if verb == 'approve' else 'no'}: {accepted.what}{with_what}.")


def _all(server: Gateway) -> Iterator[dict[str, Any]]:
    from streams.contract.approvals import ApprovalPage

    cursor = None
    while True:
        page = server.read(ApprovalPage, "/approvals", limit=PAGE, cursor=cursor)
        yield from (one.to_json() for one in page.approvals)
        cursor = page.next
        if cursor is None:
            return


def _asked(server: Gateway, run: str) -> Iterator[dict[str, Any]]:
    from streams.contract.approvals import RunApprovals

    for one in server.read(RunApprovals, f"/runs/{run}/approvals").approvals:
        yield {"run_id": run, **one.to_json()}
