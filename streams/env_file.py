"""Reads `.env` as a whole or not at all, because a line that is skipped is a setting that is silently unset."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class EnvFileError(StreamsError):
    """Raised by `read` for a file that is not UTF-8 or holds lines that are no assignments; one line for each."""


def read(path: Path) -> Mapping[str, str]:
    """Return the assignments of the file, `${NAME}` replaced as python-dotenv does; empty when there is no file.

    A byte order mark is skipped. Raises EnvFileError with the file's name and the number of each wrong line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8."
        raise EnvFileError(message) from None
    wrong = [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]
    if wrong:
        raise EnvFileError("\n".join(_explain(path, number) for number in wrong))
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value}


def _explain(path: Path, number: int) -> str:
    return (
        f"{path} line {number} is not NAME=value: a value with quotation marks inside needs the other kind around it, "
        'as in NAME=\'{"github": ["secret"]}\'.'
    )
