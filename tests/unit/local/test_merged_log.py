"""Lines of many processes stay whole and say whose they are."""

from __future__ import annotations

import io
import os
import threading

from streams.local.merged_log import LONGEST, MergedLog


async def written(*parts: bytes, plain: bool = False) -> str:
    file = io.StringIO()
    reading, writing = os.pipe()

    def write() -> None:  # in a thread: a pipe holds less than the longest line
        with os.fdopen(writing, "wb") as pipe:
            for part in parts:
                pipe.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        await MergedLog(file, plain=plain).follow("worker-0", pipe)
    writer.join()
    return file.getvalue()


async def test_each_line_has_its_writers_name() -> None:
    assert await written(b"one\ntwo\n") == "worker-0  │ one\nworker-0  │ two\n"


async def test_a_last_line_without_an_end_is_not_lost() -> None:
    assert await written(b"half", b" a line") == "worker-0  │ half a line\n"


async def test_lines_of_json_stay_as_they_are() -> None:
    assert await written(b'{"level": "[red]info"}\n', plain=True) == '{"level": "[red]info"}\n'


async def test_what_looks_like_markup_or_is_not_text_is_shown() -> None:
    assert await written(b"[bold]x[/bold] \xff\n") == "worker-0  │ [bold]x[/bold] �\n"


async def test_an_endless_line_is_shown_in_pieces() -> None:
    text = await written(b"x" * (LONGEST + 10))
    assert text.replace("worker-0  │ ", "").replace("\n", "") == "x" * (LONGEST + 10)
