"""The table of settings, from the settings themselves."""

from __future__ import annotations

from pathlib import Path

from docs.generate.markdown import code, table
from streams.settings import Settings

INTRODUCTION = """# Settings

A setting comes from the command line, the environment, or a file `.env` in the current folder, in this order.
`streams settings` prints each with its value, default and source; secrets are masked. An unknown `STREAMS_` variable,
or a value of a wrong type, stops the start with one line for each. `OPENAI_API_KEY` and `OPENAI_BASE_URL` count where
`STREAMS_LLM_API_KEY` and `STREAMS_LLM_BASE_URL` are not set.

"""


def page() -> str:
    """Return the page."""
    rows = [
        (
            code(f"STREAMS_{name.upper()}"),
            _default(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return INTRODUCTION + table(("variable", "default", "meaning"), rows)


def _default(value: object) -> str:
    if isinstance(value, Path) and value.is_absolute():
        return "the user's cache folder"
    return "" if value in (None, (), {}, "") else code(value)
