"""What the demo says: numbered steps with what was seen in each, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from streams.cli.io.output import cell, console
from streams.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TIMELINE = ("seq", "path", "kind", "name", "status", "attempt", "took", "output")


class DemoReport:
    """Prints as it goes; seconds are counted from its making."""

    def __init__(self) -> None:
        self._screen = console()
        self._begun = monotonic()
        self._number = 0

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return monotonic() - self._begun

    def step(self, title: str) -> None:
        """Begin a step."""
        self._number += 1
        self._screen.print(f"\n[bold]{self._number}. {escape(title)}[/] [dim]{self.seconds:.1f} s[/]")

    def seen(self, text: str) -> None:
        """Print what was seen, compared with what must be."""
        self._screen.print(f"   [green]✓[/] {escape(text)}")

    def note(self, text: str) -> None:
        """Print a remark."""
        self._screen.print(f"     [dim]{escape(text)}[/]")

    def fail(self, text: str) -> None:
        """Print what went wrong."""
        self._screen.print(f"   [red]✗[/] {escape(text)}")

    def timeline(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Print a run's journal."""
        self.table(TIMELINE, ({**entry, "took": took(entry)} for entry in entries))

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows, long values cut to one line."""
        from rich.table import Table

        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=56)
        for row in rows:
            table.add_row(*(escape(cell(row.get(column))[:200]) for column in columns))
        self._screen.print(table)


def took(entry: Mapping[str, Any]) -> str:
    """Return how long an entry took, empty where that means nothing."""
    from datetime import datetime

    begun, ended = entry.get("started_at"), entry.get("finished_at")
    if not begun or not ended:
        return ""
    span = datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(begun))
    return f"{span.total_seconds():.2f} s"
