"""The entry point `streams`: puts the command groups together and turns every error into one line and an exit code."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Annotated, Any

import typer

from streams.cli import (
    approvals,
    dead,
    doctor,
    history,
    llm,
    new,
    past_tables,
    people,
    processes,
    produce,
    run,
    runs,
    safety,
    schedules,
    schemas,
    show_settings,
    tables,
    topics,
)
from streams.cli.demo import command as demo
from streams.errors import StreamsError
from streams.printable import one_line

DEBUG = "--debug"

app = typer.Typer(
    name="streams",
    help="Durable agents on Kafka. Start with `streams demo`, stay with `streams dev`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
demo.add_to(app)
processes.add_to(app)
doctor.add_to(app)
show_settings.add_to(app)
produce.add_to(app)
run.add_to(app)
history.add_to(app)
app.add_typer(runs.app, name="runs")
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
past_tables.add_to(tables.app)
approvals.add_to(runs.app)
app.add_typer(tables.app, name="tables")
app.add_typer(dead.app, name="dead")
app.add_typer(people.workers, name="workers")
app.add_typer(people.agents, name="agents")
app.add_typer(safety.budgets, name="budgets")
app.add_typer(safety.breakers, name="breakers")
app.add_typer(schedules.app, name="schedules")
app.add_typer(llm.app, name="llm")
app.add_typer(new.app, name="new")


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option(DEBUG, help="show a traceback when something fails")] = False,
) -> None:
    """Durable agents on Kafka."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = DEBUG in given
    sys.path.append(os.getcwd())  # noqa: PTH109 - packages named by STREAMS_APPS may lie here
    sys.exit(_run([argument for argument in given if argument != DEBUG], debug=debug))


@cache
def command() -> Any:
    """Return the parser of all commands, which takes a tenth of a second to build."""
    return typer.main.get_command(app)


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        code: Any = command()(arguments, prog_name="streams", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return _said("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0  # the reader has what it wanted, as `head` does
    except Exception as error:
        if debug and not _usage(error):
            raise
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """Say what is wrong and what to do next, on one line of stderr (several settings may be wrong: a line each)."""
    if _usage(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "streams"
        said = getattr(error, "format_message", error.__str__)()
        if not said:
            return 2  # a group without a command: its help is on the screen
        return _said(f"{' '.join(said.split())} See `{command} --help`.", 2)
    if _expected(error):
        return _said(str(error), getattr(error, "exit_code", 1))
    return _said(f"Unexpected {type(error).__name__}: {' '.join(str(error).split())} (use {DEBUG} for a traceback)", 1)


def _usage(error: Exception) -> bool:
    return getattr(error, "exit_code", None) == 2 and hasattr(error, "format_message")


def _expected(error: Exception) -> bool:
    if isinstance(error, StreamsError) or hasattr(error, "format_message"):
        return True
    from schemas.errors import SchemaError
    from topics.errors import TopicError

    return isinstance(error, SchemaError | TopicError)


def _said(text: str, code: int) -> int:
    for line in text.splitlines() or [""]:
        print(f"streams: {one_line(line)}", file=sys.stderr)
    return code
