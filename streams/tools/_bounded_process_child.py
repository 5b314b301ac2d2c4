"""The process in which texts from outside are read: takes jobs from its input until that is closed.

A job's deadline is a timer of the kernel that ends this process, also in the middle of C code, and also when the worker
that asked is gone.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from streams.tools.errors import QueryRefusedError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY: Final = 1 << 30  # bytes of address space
FILE: Final = 16 << 20  # bytes of a file: SQLite keeps a shared index beside a database with a write-ahead log
HEADER: Final = struct.Struct("!II")


def serve() -> None:
    """Run jobs one after the other; return at the end of the input."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what a library prints is no answer
        os.dup2(nothing, stream)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_FSIZE, FILE)
    _limit(resource.RLIMIT_CORE, 0)
    _answer(sink, {"value": "ready"})
    while header := source.read(HEADER.size):
        head, body = HEADER.unpack(header)
        asked = json.loads(source.read(head))
        content = source.read(body)
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
        answer = _done(asked["job"], asked["arguments"], content)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(sink, answer)


def _limit(which: int, amount: int) -> None:
    """Lower a limit of this process; where a system has none of that kind, the deadline remains."""
    try:
        resource.setrlimit(which, (amount, amount))
    except (ValueError, OSError):
        return


def _answer(sink: BinaryIO, answer: dict[str, Any]) -> None:
    content = json.dumps(answer).encode()
    sink.write(HEADER.pack(len(content), 0) + content)
    sink.flush()


def _done(job: str, arguments: dict[str, Any], body: bytes) -> dict[str, Any]:
    try:
        return {"value": JOBS[job](arguments, body)}
    except (QueryRefusedError, ToolError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"error": "LimitExceededError", "message": f"The input takes more than {MEMORY >> 20} MiB to read."}
    except RecursionError:
        return {"error": "LimitExceededError", "message": "The input is nested too deeply."}
    except Exception as error:  # noqa: BLE001 - a parser's own error about one input; the process goes on
        return {"error": "ToolError", "message": f"The input cannot be read ({type(error).__name__}: {error})."}


def _read_page(arguments: dict[str, Any], body: bytes) -> dict[str, Any]:
    from streams.tools._reading import read_page  # noqa: PLC0415 - each process loads what its first jobs need

    return read_page(body, arguments["content_type"])._asdict()


def _read_statement(arguments: dict[str, Any], _: bytes) -> dict[str, Any]:
    from streams.tools._statements import check  # noqa: PLC0415

    return check(arguments["sql"], arguments["params"])._asdict()


def _query_sqlite(arguments: dict[str, Any], _: bytes) -> dict[str, Any]:
    from streams.tools._sqlite import read  # noqa: PLC0415

    return read(**arguments).model_dump()


JOBS: Final[dict[str, Callable[[dict[str, Any], bytes], Any]]] = {
    "read_page": _read_page,
    "read_statement": _read_statement,
    "query_sqlite": _query_sqlite,
}

if __name__ == "__main__":
    sys.exit("This module runs in a process that `streams.tools._bounded_process` starts.")
