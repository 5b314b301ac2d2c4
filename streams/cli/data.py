"""Reads the JSON that commands take: given as it is, from a file (@FILE) or from standard input (-)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from streams.errors import StreamsError


class DataError(StreamsError):
    """Raised when a command's JSON cannot be read; the message says where it stops making sense."""


def read_text(argument: str) -> str:
    """Return the text that `argument` stands for; DataError if its file cannot be read."""
    if argument == "-":
        return sys.stdin.read()
    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"Cannot read {argument[1:]}: {reason}. Give JSON itself, @FILE, or - for standard input."
        raise DataError(message) from None


def read_ids(values: Iterable[str]) -> frozenset[str]:
    """Return ids that are separated by commas or, in an @FILE, by lines; DataError for a file that cannot be read."""
    found: set[str] = set()
    for value in values:
        listed = read_text(value).splitlines() if value.startswith("@") else value.split(",")
        found |= {one.strip() for one in listed if one.strip()}
    return frozenset(found)


def read_json(argument: str) -> Any:
    """Return the JSON value that `argument` stands for; DataError if it is none."""
    return _parse(read_text(argument), "")


def read_values(argument: str) -> list[Any]:
    """Return one value, or one for each line of JSON lines; DataError naming the line."""
    text = read_text(argument)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    try:
        return [orjson.loads(text)]
    except orjson.JSONDecodeError:
        if len(lines) < 2:
            return [_parse(text, "")]
    return [_parse(line, f"line {number}: ") for number, line in lines]


def _parse(text: str, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        shown = text.strip()[:60]
        message = f"{where}not JSON ({error}): {shown!r}. Quote it for the shell, or give @FILE."
        raise DataError(message) from None
