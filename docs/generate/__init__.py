"""Writes what is made of the code: the reference, the figure of the rooms, the settings in the compose file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs.generate import commands as cli
from docs.generate import compose, decorators, errors, http, log, metrics, rooms, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOLDER: Final = Path(__file__).resolve().parents[1] / "reference"
NOTICE: Final = "<!-- Generated from the code by `python -m docs.generate`. Do not edit. -->\n\n"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "decorators.md": decorators.decorators_page,
    "run.md": decorators.run_page,
    "values.md": decorators.values_page,
    "testing.md": decorators.testing_page,
    "settings.md": settings.page,
    "cli.md": cli.page,
    "http.md": http.page,
    "topics.md": log.topics_page,
    "events.md": log.events_page,
    "metrics.md": metrics.page,
    "errors.md": errors.page,
    "rooms.md": rooms.page,
}
"""File name to the function that makes the page."""


def text_of(name: str) -> str:
    """Return the whole text of a generated page."""
    return NOTICE + PAGES[name]().rstrip() + "\n"


def main() -> None:
    """Write all pages, the figure of the rooms, and the settings in the compose file."""
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(text_of(name), "utf-8")
    rooms.ARCHITECTURE.write_text(rooms.architecture(), "utf-8")
    compose.FILE.write_text(compose.compose(), "utf-8")
