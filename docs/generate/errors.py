"""Exceptions that users meet, and the problem types of the gateway."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import streams
import streams.errors
import streams.model.errors
import streams.testing
import streams.tools.errors
from docs.generate.http import served
from docs.generate.markdown import code, one_line, table
from streams.define import policies
from streams.gateway.openapi import problem_types
from streams.settings import SettingsError
from streams.testing.golden_file import GoldenFileError

if TYPE_CHECKING:
    from types import ModuleType

INTRODUCTION = """# Errors

## Exceptions

Every exception that Streams raises on purpose derives from `StreamsError`, except `Cancelled`, which is a
`BaseException`. Its message says what to do next.

"""
PROBLEMS = """
## Problem types of the gateway

An HTTP error is a problem document (RFC 9457) with the media type `application/problem+json`. Its `type` is stable:
compare it, not the title. `detail` says what to change. A status 429 or 503 carries `Retry-After` where a repetition
can help.

"""


def page() -> str:
    """Return the page."""
    found = [
        *_raised(streams.errors),
        *_raised(policies),
        SettingsError,
        *_raised(streams.model.errors),
        *_raised(streams.tools.errors),
        streams.testing.RunEndedError,
        streams.testing.GoldenDifferenceError,
        streams.testing.TortureError,
        GoldenFileError,
    ]
    rows = [(code(one.__name__), code(_home(one)), code(_base(one)), one_line(one.__doc__ or "")) for one in found]
    exceptions = table(("exception", "import from", "base", "meaning"), rows)
    problems = [(code(kind.uri), code(kind.status), kind.title) for kind in problem_types(served())]
    return INTRODUCTION + exceptions + PROBLEMS + table(("type", "status", "title"), problems)


def _raised(module: ModuleType) -> list[type[Any]]:
    return [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == module.__name__
    ]


def _home(kind: type[Any]) -> str:
    for module in (streams, streams.testing):
        if kind.__name__ in module.__all__:
            return module.__name__
    return kind.__module__


def _base(kind: type[Any]) -> str:
    return ", ".join(base.__name__ for base in kind.__bases__)
