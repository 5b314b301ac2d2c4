"""`streams torture`: kills an agent at each place of a run, in memory, and shows what a crash would break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.commands.golden import FOLDER, read_runs
from streams.cli.data import read_ids
from streams.cli.io.options import OutputFormat, OutputOption
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.model.chat import ChatAnswer, ChatRequest
    from streams.testing.golden_file import GoldenRun
    from streams.testing.torture_report import TortureReport
    from streams.testing.torture_runs import Bounds


FOUND: Final = 3
"""What the command exits with when something was found: 1 is an error, 2 wrong usage."""


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("torture", rich_help_panel="History")(torture)


def torture(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="name of an agent of STREAMS_APPS")],
    input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="execute it once for real: steps, tools, model")
    ] = None,
    golden: Annotated[
        list[Path] | None, typer.Option("--golden", metavar="FILE", help="golden runs (default: tests/golden)")
    ] = None,
    runs: Annotated[
        str | None,
        typer.Option("--runs", metavar="IDS", help="runs of the log, with commas, or @FILE with one on each line"),
    ] = None,
    seed: Annotated[int, typer.Option(help="chooses orders, and kills if there are too many")] = 0,
    kills: Annotated[int, typer.Option(min=1, help="at most so many of a run")] = 400,
    seconds: Annotated[float, typer.Option(min=0.1, help="at most so long for a run")] = 60.0,
    *,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Kill AGENT before and after each commit of a run, reorder its steps, and report what breaks, with the line.

    The run comes from golden files, from the log or from an input. Only an input calls steps, tools and model, once.
    Exit code 3 says that something was found.
    """
    from streams.app import discover
    from streams.cli.io.output import print_json
    from streams.settings import load
    from streams.telemetry import keep_secrets_of
    from streams.testing.torture_runs import Bounds

    if sum(given is not None for given in (input, golden, runs)) > 1:
        raise typer.BadParameter("give one of --input, --golden and --runs")
    settings = load()
    keep_secrets_of(settings)
    catalog = discover(settings.apps)
    found = catalog.agent(agent)
    bounds = Bounds(kills, seconds, seed)
    reports = []
    if input is not None:
        reports.append(_of_input(found, input, bounds))
    else:
        reports += _of_golden(found, catalog.agents, golden, runs, bounds)
    if output is OutputFormat.JSON:
        print_json([report.to_json() for report in reports])
    else:
        print("\n\n".join(report.text() for report in reports))
    if not all(report.passed for report in reports):
        raise typer.Exit(FOUND)


def _of_input(agent: Agent[Any, Any], text: str, bounds: Bounds) -> TortureReport:
    from json import loads

    from streams.testing.torture_runs import torture_input

    try:
        value = loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--input is no JSON ({error}): write it as '{{\"order\": 7}}'") from None
    return torture_input(agent, value, bounds, model=_LateModel())


def _of_golden(
    agent: Agent[Any, Any],
    agents: dict[str, Agent[Any, Any]],
    files: list[Path] | None,
    runs: str | None,
    bounds: Bounds,
) -> Iterator[TortureReport]:
    from streams.testing.torture_runs import torture_golden

    count = 0
    for run in _golden_runs(agent.name, files, runs):
        count += 1
        yield torture_golden(run, agents, bounds)
    if not count:
        raise StreamsError(
            f"there is no golden run of agent {agent.name}: give --input JSON, --runs IDS, or write one with "
            "`streams golden add RUN`"
        )


def _golden_runs(agent: str, files: list[Path] | None, runs: str | None) -> Iterator[GoldenRun]:
    """Yield the runs of the agent; one that was named and is of another agent is an error."""
    from streams.testing.golden_file import SUFFIX, GoldenFileError, GoldenRun

    if runs is not None:
        found = read_runs(sorted(read_ids([runs])))
    elif files is not None:
        found = [GoldenRun.read(path) for path in files]
    else:
        found = [GoldenRun.read(path) for path in sorted(FOLDER.glob(f"*{SUFFIX}"))]
        found = [one for one in found if one.agent == agent]
    for golden in found:
        if golden.agent != agent:
            raise GoldenFileError(f"run {golden.run_id} is of agent {golden.agent}: `streams torture {golden.agent} …`")
        yield golden


class _LateModel:
    """The model of the settings or of the running pipeline, made when it is asked: many agents ask none."""

    name = "late"

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Ask it; each question has an event loop of its own here, so each has a client of its own."""
        from streams.cli.pipeline import settings_here
        from streams.model.model_from_settings import chat_model

        return await chat_model(settings_here()).complete(request, on_delta)
