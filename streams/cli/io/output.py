"""Prints answers: a table or a record for people, the same data as JSON for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from streams.cli.io.options import OutputFormat
from streams.printable import block, json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

_NUMBERS = 20  # in a list that people see
_PIPE_WIDTH = 10_000  # columns: a program that reads a pipe needs whole ids, whatever FORCE_COLOR asks for
STYLES = {
    "succeeded": "green",
    "completed": "green",
    "running": "cyan",
    "waiting": "yellow",
    "queued": "dim",
    "failed": "red",
    "cancelled": "magenta",
    "expired": "dim",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console; where stdout is no terminal, lines are not cut to a width."""
    from rich.console import Console

    class Screen(Console):
        """A console that shows control characters of data as escapes."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(block(text), **options)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the entry point decides; Rich would exit with status 1

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Screen(stderr=stderr, highlight=False)
    return Screen(stderr=stderr, highlight=False, width=_PIPE_WIDTH, soft_wrap=True)


def to_json(value: Any) -> str:
    """Return the value as indented JSON; what JSON lacks (bytes, dates) as text."""
    made = orjson.dumps(value, default=_text, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    return json_text(made)


def print_json(value: Any) -> None:
    """Print the value as JSON on stdout, uncoloured so that it can be piped."""
    print(to_json(value))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str], output: OutputFormat, *, empty: str) -> None:
    """Print rows as a table with `columns`, or as a JSON list; `empty` says what to do when there are none."""
    if output is OutputFormat.JSON:
        print_json(list(rows))
    elif not rows:
        print(empty)
    else:
        _print_table(rows, list(columns))


def print_record(record: Mapping[str, Any], output: OutputFormat) -> None:
    """Print one thing: a line for each of its members that has a value, or JSON."""
    if output is OutputFormat.JSON:
        print_json(record)
        return
    shown = {name: cell(_brief(value)) for name, value in record.items() if value not in (None, [], {}, "")}
    width = max(map(len, shown), default=0)
    screen = console()
    for name, value in shown.items():
        screen.print(f"[bold]{name:<{width}}[/]  {_styled(value)}")


def _brief(value: Any) -> Any:
    """Return a value with long lists of numbers as their length: people read JSON (`-o json`) where they want them."""
    if isinstance(value, dict):
        return {name: _brief(one) for name, one in value.items()}
    if isinstance(value, list) and len(value) > _NUMBERS and all(isinstance(one, int | float) for one in value):
        return f"{len(value)} numbers"
    return value


def cell(value: Any) -> str:
    """Return a value as one line."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int() | float():
            return str(value)
        case _:
            return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _print_table(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_styled(_short(cell(row.get(column)))) for column in columns))
    console().print(table)


def _styled(text: str) -> str:
    from rich.markup import escape

    style = STYLES.get(text)
    return f"[{style}]{text}[/]" if style else escape(text)


def _short(text: str, limit: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
