"""The last part of a path that is any text: keys hold slashes and, percent-encoded, newlines.

Starlette's own `path` ends at a newline, so that a row under such a key could not be asked for.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class AnyText(Convertor[str]):
    """Text of any characters, written in a route as `{name:text}`."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return the text as it is in the path."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text for a path."""
        return value


def register() -> None:
    """Make `{name:text}` known; called where routes are declared, any number of times."""
    register_url_convertor("text", AnyText())
