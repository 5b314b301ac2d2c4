"""The entry point `streams`: puts the command groups together and turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

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
for found in pkgutil.iter_modules([str(Path(__file__).with_name("commands"))], "streams.cli.commands."):
    importlib.import_module(found.name).add_to(app)


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
        return _print_error("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0  # the reader has what it wanted, as `head` does
    except Exception as error:
        if debug and not _usage(error):
            raise
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """Print what is wrong and what to do next, on one line of stderr (several settings may be wrong: a line each)."""
    if _usage(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "streams"
        text = getattr(error, "format_message", error.__str__)()
        if not text:
            return 2  # a group without a command: its help is on the screen
        return _print_error(f"{' '.join(text.split())} See `{command} --help`.", 2)
    if _expected(error):
        return _print_error(str(error), getattr(error, "exit_code", 1))
    return _print_error(
        f"Unexpected {type(error).__name__}: {' '.join(str(error).split())} (use {DEBUG} for a traceback)", 1
    )


def _usage(error: Exception) -> bool:
    return getattr(error, "exit_code", None) == 2 and hasattr(error, "format_message")


def _expected(error: Exception) -> bool:
    if isinstance(error, StreamsError) or hasattr(error, "format_message"):
        return True
    from schemas.errors import SchemaError
    from topics.errors import TopicError

    return isinstance(error, SchemaError | TopicError)


def _print_error(text: str, code: int) -> int:
    for line in text.splitlines() or [""]:
        print(f"streams: {one_line(line)}", file=sys.stderr)
    return code
