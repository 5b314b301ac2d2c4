"""A download is never silent: a bar on a terminal, one line where there is none, and one bar at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_terminal = threading.Lock()


@contextmanager
def download_bar(title: str, total: int, *, counted: bool = True) -> Iterator[Callable[[int], None]]:
    """Show the download `title` of `total` bytes on standard error; yields what takes each further count of bytes.

    With `counted=False`, for what another program fetches, the bar only shows that it goes on.
    """
    console = Console(stderr=True)
    size = f"{total / 1e6:.0f} MB, once"
    if not console.is_terminal:
        console.print(f"Downloading {title} ({size}) ...", highlight=False, soft_wrap=True)
        yield lambda _count: None
        return
    measured: tuple[ProgressColumn, ...] = (DownloadColumn(), TransferSpeedColumn()) if counted else ()
    columns = (TextColumn("{task.description}"), BarColumn(), *measured, TimeElapsedColumn())
    with _terminal, Progress(*columns, console=console) as progress:
        task = progress.add_task(f"Downloading {title} ({size})", total=total if counted else None)
        yield lambda count: progress.advance(task, count)
