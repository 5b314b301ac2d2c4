"""`streams backtest`: runs recorded runs again with a changed agent, prompt or model, and compares what comes out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.io.options import FromOption, OutputFormat, OutputOption, ToOption

if TYPE_CHECKING:
    from streams.backtest.backtest import BacktestEstimate
    from streams.backtest.report import BacktestReport
    from streams.cli.backtests import BacktestOptions, PreparedBacktest

GATE_FAILED: Final = 3
"""What the command exits with when the gate does not hold: 1 is an error, 2 wrong usage."""

_INTERRUPTED: Final = 130


class Models(StrEnum):
    """Whence calls of models are answered."""

    RECORDED = "recorded"
    HYBRID = "hybrid"
    LIVE = "live"


class Tools(StrEnum):
    """Whence calls of tools and steps are answered."""

    RECORDED = "recorded"
    HYBRID = "hybrid"
    LIVE = "live"
    STUB = "stub"


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("backtest", rich_help_panel="History")(backtest)


def backtest(  # noqa: PLR0913, PLR0917 - each is an option of the command
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="whose recorded runs are run")],
    candidate: Annotated[
        list[str],
        typer.Option(
            metavar="SPEC",
            help="MODULE[:AGENT], FILE.py[:AGENT], prompt=NAME:FILE, model=ROLE:MODEL or setting=NAME:VALUE",
        ),
    ],
    start: FromOption = "earliest",
    end: ToOption = "latest",
    runs: Annotated[list[str] | None, typer.Option(help="only these runs: ids, or @FILE with an id a line")] = None,
    where: Annotated[str | None, typer.Option(help="only runs for which this is true: status == 'failed'")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="at most so many runs, drawn by --seed")] = None,
    seed: Annotated[int, typer.Option(help="another seed draws another sample")] = 0,
    models: Annotated[
        Models, typer.Option(help="recorded: a miss is a difference; hybrid: a miss is asked; live: all are")
    ] = Models.RECORDED,
    tools: Annotated[Tools, typer.Option(help="as --models; stub: a miss gets the answer of --stub")] = Tools.RECORDED,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="TOOL", help="with --tools hybrid: call this tool or step, effects too")
    ] = None,
    stub: Annotated[list[str] | None, typer.Option(metavar="TOOL=JSON", help="the answer of --tools stub")] = None,
    score: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="MODULE:FUNCTION, field:NAME.NAME or judge:RUBRIC.md")
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=100, help="run the candidate so often, for pass@k")] = 1,
    budget: Annotated[str | None, typer.Option(metavar="usd=X", help="stop when calls have cost so much")] = None,
    gate: Annotated[
        str | None, typer.Option(metavar="EXPR", help="exit 3 unless it holds: equal>=0.98 and cost<=1.1*baseline")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="write the report as one HTML file")] = None,
    state: Annotated[Path | None, typer.Option(help="file of what is done (default: in STREAMS_STATE_DIR)")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how many runs, and what they may cost")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Run recorded runs of AGENT with a candidate, and compare: as observed, as the code is now, and the candidate.

    Nothing is written to the log. Ctrl-C stops it; the same command goes on.
    """
    import asyncio

    from streams.backtest.expression import Expression
    from streams.backtest.policies import Policies
    from streams.backtest.selection import FIELDS, RunSelection
    from streams.cli.backtests import BacktestOptions
    from streams.cli.data import read_ids
    from streams.cli.positions import position

    options = BacktestOptions(
        agent=agent,
        candidate=tuple(candidate),
        start=position(start),
        end=position(end),
        selection=RunSelection(
            read_ids(runs or []) or None, None if where is None else Expression.parse(where, FIELDS), sample, seed
        ),
        policies=Policies(models.value, tools.value, frozenset(allow or []), _stubs(stub or [])),
        scores=tuple(score or []),
        tries=tries,
        budget=_budget(budget),
        gate=gate,
        state=state,
    )
    found = asyncio.run(_backtest(options, dry_run=dry_run, output=output))
    if found is None:
        return
    _write(found, report, output)
    result = found.gate_result()
    if found.stopped is not None and "interrupted" in found.stopped:
        raise typer.Exit(_INTERRUPTED)
    if result is not None and not result.passed:
        raise typer.Exit(GATE_FAILED)


async def _backtest(options: BacktestOptions, *, dry_run: bool, output: OutputFormat) -> BacktestReport | None:
    """Prepare and run; None for a dry run, which prints only the estimate."""
    import asyncio

    from streams.cli.backtests import prepare
    from streams.cli.commands.replay import progress
    from streams.cli.io.output import console, print_json
    from streams.cli.log import open_log

    screen = console(stderr=True)
    with progress(screen) as shown:
        prepared = await asyncio.to_thread(prepare, open_log(), options, shown)
        screen.print(_estimated(prepared.estimate, options.budget), soft_wrap=True)
        if not dry_run:
            return await _run(prepared)
    if output is OutputFormat.JSON:
        print_json({"estimate": prepared.estimate.to_json(), "left_out": prepared.left_out})
    return None


async def _run(prepared: PreparedBacktest) -> BacktestReport:
    """Run until the end, or until Ctrl-C; a second one ends it at once."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        prepared.backtest.stop()

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        return await prepared.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _estimated(estimate: BacktestEstimate, budget: float | None) -> str:
    tries = f", {estimate.tries} tries each" if estimate.tries > 1 else ""
    if not estimate.asks_outside:
        return f"{estimate.runs} runs{tries}, answered from the log: nothing is paid."
    held = f" (budget ${budget:g})" if budget is not None else ""
    return (
        f"{estimate.runs} runs{tries}; calls that are made may cost up to ${estimate.most_usd:.2f}{held} and take "
        f"up to {estimate.most_seconds:.0f} s, by what the observed runs took."
    )


def _write(report: BacktestReport, file: Path | None, output: OutputFormat) -> None:
    from streams.backtest.html_report import html_report
    from streams.cli.backtests import print_report
    from streams.cli.io.output import console, print_json

    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(html_report(report), "utf-8", errors="replace")
    if output is OutputFormat.JSON:
        print_json(report.to_json())
    else:
        print_report(console(), report)


def _budget(text: str | None) -> float | None:
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if name != "usd" or not 0 <= amount < float("inf"):
        message = f"{text!r} is no budget: give one like usd=5."
        raise typer.BadParameter(message)
    return amount


def _stubs(texts: list[str]) -> dict[str, Any]:
    from streams.cli.data import read_json

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            message = f"{text!r} is not TOOL=JSON."
            raise typer.BadParameter(message)
        found[name] = read_json(value)
    return found
