"""`streams runs …`: see what runs, follow it, and change its course."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.io.options import DryRunOption, LimitOption, OutputFormat, OutputOption, RunId

app = typer.Typer(help="Runs: list, show, calls, follow, cancel, resume, signal, fork, approve.", no_args_is_help=True)

COLUMNS = ("run_id", "agent", "status", "stage", "progress", "step", "created_at")
CALLS = ("path", "kind", "name", "ms", "tokens", "cost_usd", "answer")
ENTRIES = ("seq", "path", "kind", "name", "status", "attempt", "started_at", "finished_at", "output", "error")


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="runs")


@app.command("list")
def list_runs(
    agent: Annotated[str | None, typer.Option(help="only runs of this agent")] = None,
    status: Annotated[str | None, typer.Option(help="queued, running, waiting, succeeded, failed or cancelled")] = None,
    since: Annotated[str | None, typer.Option(help="only runs made at or after this time, or so long ago: 1h")] = None,
    key: Annotated[str | None, typer.Option(help="only runs with this concurrency key")] = None,
    limit: LimitOption = 50,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """List runs, the newest first."""
    from streams.cli.forks import found
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.cli.positions import moment

    after = None if since is None else moment(since).isoformat()
    with gateway() as server:
        listed = list(found(server, limit, agent=agent, status=status, since=after, key=key))
    print_rows(
        [one.to_json() for one in listed],
        COLUMNS,
        output,
        empty="No runs. Start one with `streams run AGENT --input JSON`.",
    )


@app.command("show")
def show_run(
    run: RunId,
    output: OutputOption = OutputFormat.TEXT,
    *,
    history: Annotated[bool, typer.Option("--history/--no-history", help="with the journal's entries")] = True,
    at: Annotated[int | None, typer.Option(min=1, help="as it was after the journal's entry with this seq")] = None,
) -> None:
    """Show a run and its timeline: every journal entry, in order."""
    from streams.cli.io.output import print_json, print_record, print_rows
    from streams.cli.pipeline import gateway
    from streams.contract.runs import RunHistory, RunState

    with gateway() as server:
        view = server.read(RunState, f"/runs/{run}", at=at).to_json()
        journal = server.read(RunHistory, f"/runs/{run}/history") if history else None
    entries = None if journal is None else [one.to_json() for one in journal.entries if at is None or one.seq <= at]
    if output is OutputFormat.JSON:
        print_json(view if entries is None else {**view, "entries": entries})
        return
    print_record(view, output)
    if entries is not None:
        print()
        print_rows(entries, ENTRIES, output, empty="The journal has no entries yet.")


@app.command("calls")
def list_calls(run: RunId, output: OutputOption = OutputFormat.TEXT) -> None:
    """List the model and tool calls of a run; with -o json their whole requests and answers."""
    from streams.cli.calls import calls_of, row
    from streams.cli.io.output import print_json, print_rows
    from streams.cli.log import open_log
    from streams.cli.pipeline import gateway
    from streams.cli.positions import moment
    from streams.contract.runs import RunState

    with gateway() as server:
        made = moment(server.read(RunState, f"/runs/{run}").created_at)
    calls = calls_of(open_log(), run, int(made.timestamp() * 1000))
    if output is OutputFormat.JSON:
        print_json(calls)
        return
    print_rows([row(call) for call in calls], CALLS, output, empty="It made no calls, or they are older than 30 days.")


@app.command("diff")
def diff_runs(
    one: Annotated[str, typer.Argument(metavar="A", help="a run's id")],
    other: Annotated[str, typer.Argument(metavar="B", help="another run's id")],
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Show where two runs part: their timelines side by side, and their results; exit 0 also where they differ."""
    from streams.cli.io.output import console, print_json
    from streams.cli.run_diff import RunDiff, print_diff, read_diff

    found: RunDiff = read_diff(one, other)
    if output is OutputFormat.JSON:
        print_json(found.to_json())
    else:
        print_diff(console(), found)


@app.command("follow")
def follow_run(run: RunId, output: OutputOption = OutputFormat.TEXT) -> None:
    """Print what happens to a run until it ends; exit 0 only if it succeeded."""
    from streams.cli.follow import follow
    from streams.cli.pipeline import gateway

    with gateway() as server:
        raise typer.Exit(follow(server, run, output))


@app.command("result")
def print_result(run: RunId, output: OutputOption = OutputFormat.TEXT) -> None:
    """Print a run's result; exit 1 while there is none."""
    from streams.cli.follow import Unfinished
    from streams.cli.io.client import as_model
    from streams.cli.io.output import print_json
    from streams.cli.pipeline import gateway
    from streams.contract.runs import RunResult

    with gateway() as server:
        status, body = server.answer(f"/runs/{run}/result")
    if status == 202:
        message = f"Run {run} has not finished: `streams runs follow {run}` waits for it."
        raise Unfinished(message)
    result = as_model(RunResult, body)
    print_json(result.to_json() if output is OutputFormat.JSON else result.result)


@app.command("cancel")
def cancel_run(run: RunId, reason: Annotated[str | None, typer.Option(help="why, for the record")] = None) -> None:
    """Ask a run to stop; its clean-up still runs."""
    _send(f"/runs/{run}/cancel", {"reason": reason} if reason else None, f"Run {run} was asked to cancel.")


@app.command("resume")
def resume_run(run: RunId) -> None:
    """Let a failed run go on from the step that failed; what is recorded is not executed again."""
    _send(f"/runs/{run}/resume", None, f"Run {run} was asked to resume.")


@app.command("signal")
def signal_run(
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="the event type that the run waits for")],
    data: Annotated[str, typer.Option("--data", "-d", help="the event's data: JSON, @FILE or -")] = "{}",
) -> None:
    """Send a run the signal that it waits for."""
    from streams.cli.data import read_json

    _send(f"/runs/{run}/signals/{name}", read_json(data), f"Run {run} was sent {name}.")


@app.command("fork")
def fork_run(
    at: Annotated[str, typer.Option("--at", help="the step to fork at: a journal seq or a step's name")],
    run: Annotated[str | None, typer.Argument(metavar="[ID]", help="the run's id; without it: all that fit")] = None,
    edit: Annotated[list[str] | None, typer.Option("--edit", help="STEP=JSON: another answer for this step")] = None,
    agent: Annotated[str | None, typer.Option(help="without ID: runs of this agent")] = None,
    status: Annotated[str | None, typer.Option(help="without ID: runs in this status")] = None,
    since: Annotated[str | None, typer.Option(help="without ID: runs made since this time, or so long ago: 1h")] = None,
    limit: LimitOption = 100,
    *,
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Start a new run that shares a run's past up to a step, with edited answers if you like.

    Without ID one for each run that fits, each once, however often the command is repeated.
    """
    from streams.cli.forks import fork, found
    from streams.cli.io.output import print_rows
    from streams.cli.pipeline import gateway
    from streams.cli.positions import moment
    from streams.contract.runs import ForkAccepted, RunState

    edits = dict(_edit(text) for text in edit or [])
    if run is not None and not dry_run:
        with gateway() as server:
            body = {"at": at, "edits": edits} if edits else {"at": at}
            print(server.send(ForkAccepted, f"/runs/{run}/fork", body).run_id)
        return
    if run is None and agent is None and status is None and since is None:
        raise typer.BadParameter("name a run, or say which ones: --agent, --status or --since.")
    after = None if since is None else moment(since).isoformat()
    with gateway() as server:
        listed = (
            found(server, limit, agent=agent, status=status, since=after)
            if run is None
            else iter([server.read(RunState, f"/runs/{run}")])
        )
        lines = list(fork(server, listed, at, edits, dry_run=dry_run))
    print_rows(lines, ("run_id", "agent", "status", "fork", "why"), output, empty="No run fits.")
    if output is OutputFormat.TEXT:
        done = sum(line["why"] is None for line in lines)
        print(f"{done} of {len(lines)} runs {'would be' if dry_run else 'are'} forked at {at}.")


def _edit(text: str) -> tuple[str, Any]:
    from streams.cli.data import read_json

    step, equals, value = text.partition("=")
    if not equals:
        message = f"{text!r} is not STEP=JSON."
        raise typer.BadParameter(message)
    return step, read_json(value)


def _send(path: str, body: Any, text: str) -> None:
    from streams.cli.pipeline import gateway
    from streams.contract.runs import RunCommandAccepted

    with gateway() as server:
        server.send(RunCommandAccepted, path, body)
    print(text)
