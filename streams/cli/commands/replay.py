"""`streams replay`: runs a stretch of the log again without firing its side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.io.options import DryRunOption, FromOption, OutputFormat, OutputOption, ToOption

if TYPE_CHECKING:
    from rich.console import Console

    from streams.cli.log import DeploymentLog as HereLog
    from streams.replay.report import ReplayReport
    from streams.replay.topic_replay import ReplayPlan

_INTERRUPTED = 130
"""What shells return for a command that Ctrl-C ended."""

_SHOWN = 20
"""Runs and misses that are printed one by one; all of them with -o json."""


class Calls(StrEnum):
    """Whence model and tool calls are answered."""

    RECORDED = "recorded"
    HYBRID = "hybrid"
    LIVE = "live"


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("replay", rich_help_panel="History")(replay)


def replay(  # noqa: PLR0913 - each is an option of the command
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="events, or agents.<name> for an agent's runs")],
    start: FromOption = "earliest",
    end: ToOption = "latest",
    into: Annotated[str | None, typer.Option(help="prefix of the shadow topics (default: replay-<id>)")] = None,
    agent: Annotated[
        str | None,
        typer.Option(help="of events: run what is started for this agent; of a queue: run this agent instead"),
    ] = None,
    calls: Annotated[
        Calls, typer.Option(help="recorded: a miss is an error; hybrid: a miss is made; live: all are")
    ] = (Calls.RECORDED),
    rate: Annotated[float | None, typer.Option(min=0.001, help="events or runs a second (default: no limit)")] = None,
    *,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="repair: write to the topics themselves what they lack, nothing twice")
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--continue", help="go on with the replay that was stopped under this --into")
    ] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Run the events or runs of TOPIC again; what comes out goes to shadow topics PREFIX.<topic>.

    Ctrl-C stops it where it can be gone on with; a second one at once. After a kill, too, --continue goes on.
    """
    import asyncio

    from schemas.attributes import new_id
    from streams.cli.io.output import print_json
    from streams.cli.log import open_log
    from streams.cli.positions import position
    from streams.model.model_from_settings import chat_model
    from streams.replay.topic_replay import ReplayPlan

    if go_on and (into is None or dry_run):
        raise typer.BadParameter("--continue needs the --into of the replay that was stopped, and no --dry-run.")
    log = open_log()
    plan = ReplayPlan(
        log.names.bare(topic),
        position(start),
        position(end),
        calls=calls.value,
        agent=agent,
        rate=rate,
        dry_run=dry_run,
        model=lambda: chat_model(log.settings),
        model_name=log.settings.llm_model,
        in_place=in_place,
        go_on=go_on,
    )
    report = asyncio.run(_replay(log, plan, into or f"replay-{new_id()[:8]}"))
    if output is OutputFormat.JSON:
        print_json(report.to_json())
    else:
        _print(report)
    if report.stopped:
        _say_how_to_go_on(report, start, end)
        raise typer.Exit(_INTERRUPTED)
    if calls is Calls.RECORDED and not report.complete:
        raise typer.Exit(1)


async def _replay(here: HereLog, plan: ReplayPlan, into: str) -> ReplayReport:
    import asyncio
    import signal

    from streams.cli.io.output import console
    from streams.replay.log import ReplayLog
    from streams.replay.position import Position
    from streams.replay.repair import Repair
    from streams.replay.shadow import Shadow
    from streams.replay.topic_replay import Replay

    log = ReplayLog(here.kafka, here.codec, here.names, here.catalog)
    copies = here.settings.replication_factor
    homes = {"events", "agents"} if plan.topic == "events" else {"events"}  # a run's children are its own doing
    sink: Shadow | Repair = (
        Repair(log, into, frozenset(homes), dry=plan.dry_run)
        if plan.in_place
        else Shadow(log, here.topics(), into, replication_factor=copies, dry=plan.dry_run)
    )
    position = None if plan.dry_run else Position(log, into, plan.subject, replication_factor=copies)
    with progress(console(stderr=True)) as shown:
        replay = Replay(log, plan, sink, shown, position)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_signal_handler(signal.SIGINT)  # a second one ends it at once
            replay.stop()

        loop.add_signal_handler(signal.SIGINT, stop)
        try:
            return await replay.run()
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _say_how_to_go_on(report: ReplayReport, start: str, end: str) -> None:
    from streams.cli.io.output import console

    place = " --in-place" if report.in_place else ""
    console(stderr=True).print(
        f"Stopped. Go on with: streams replay {report.topic} --from {start} --to {end}{place} "
        f"--into {report.into} --continue",
        soft_wrap=True,
    )


@contextmanager
def progress(screen: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar with the time that is left, on a terminal; elsewhere nothing."""
    if not screen.is_terminal:
        yield lambda _what, _done, _of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def shown(what: str, done: int, of: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield shown


def _print(report: ReplayReport) -> None:
    from rich.markup import escape

    from streams.cli.io.output import cell, console, print_rows

    screen, totals = console(), report.totals()
    differing = [run for run in report.runs if not run.equal]
    if differing:
        rows = [
            {
                "run_id": run.run_id,
                "agent": run.agent,
                "observed": run.observed,
                "replayed": run.replayed,
                "differs_at": ", ".join(one["at"] for one in run.differences),
            }
            for run in differing[:_SHOWN]
        ]
        print_rows(rows, rows[0].keys(), OutputFormat.TEXT, empty="")
    for miss in report.misses[:_SHOWN]:
        screen.print(f"[red]no answer[/] {escape(f'{miss.run_id} {miss.path} {miss.kind} {miss.name}: {miss.why}')}")
    for error in report.errors[:_SHOWN]:
        screen.print(f"[red]failed[/] {escape(error)}")
    for name, counts in report.reactions.items():
        screen.print(f"reaction {escape(name)}: {escape(cell(counts))}")
    if report.tables:
        screen.print(f"rows: {escape(cell(report.tables))}")
    if report.left_out:
        screen.print(f"left out: {escape(cell(dict(report.left_out)))}")
    if report.runs:
        screen.print(
            f"{totals['runs']} runs: {totals['equal']} ended as before, {totals['different']} differ, "
            f"{totals['unknown']} unknown before; {totals['recorded']} answers from the log, "
            f"{totals['made']} calls made, {totals['missing']} missing"
        )
    where = "the topics themselves" if report.in_place else f"{report.into}.*"
    written = f"would go to {where}" if report.dry_run else f"written to {where}"
    screen.print(
        f"{report.records} records read; {sum(report.written.values())} {written} in {report.seconds:.1f} s "
        f"({totals['per_second']} a second)"
    )
