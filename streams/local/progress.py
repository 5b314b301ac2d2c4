"""A download is never silent: a bar on a terminal, one line where there is none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def download_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the download `title` of `total` bytes on standard error; yields what takes each further count of bytes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"Downloading {title} ({total / 1e6:.0f} MB, once) ...", highlight=False)
        yield lambda _count: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"Downloading {title}", total=total)
        yield lambda count: progress.advance(task, count)
