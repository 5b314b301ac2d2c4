"""Starts the process of a statement and waits for it without a thread.

A process and no thread: Avro records are decoded in Python, which would slow the gateway's event loop for as long as
the statement reads. A process can be ended at any point and limited in memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError

if TYPE_CHECKING:
    from streams.query.sql.limits import Format, SqlLimits
    from streams.settings import Settings

GRACE_S: Final = 30.0  # for the start of the process, before its own timer runs, and for its result
_START: Final = "import sys; sys.path[:] = {path!r}; from streams.query.sql.child import serve; serve()"
_ERRORS: Final = {error.__name__: error for error in (SqlRefusedError, SqlLimitError, SqlUnavailableError)}


@dataclass(frozen=True, slots=True)
class SqlOutput:
    """A result in the form that was asked for, with what was read for it."""

    body: bytes
    rows: int
    truncated: bool
    records: int
    bytes_read: int


class SqlProcesses:
    """Runs statements over the topics that settings name, each in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, sql: str, limits: SqlLimits, form: Format) -> SqlOutput:
        """Return the result; raises SqlRefusedError, SqlLimitError, SqlUnavailableError.

        Cancelling ends the process.
        """
        asked = pickle.dumps((sql, self._settings, limits, form))
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - what an empty entry stands for
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _START.format(path=path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        try:
            async with asyncio.timeout(limits.seconds + GRACE_S):
                output, _ = await process.communicate(asked)
        except TimeoutError:
            raise _late(limits) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _output(output, process.returncode, limits)


def _output(output: bytes, code: int | None, limits: SqlLimits) -> SqlOutput:
    if code == -signal.SIGALRM:
        raise _late(limits)
    if code != 0 or len(output) < 4:
        raise SqlLimitError(
            f"The process of the statement ended with {code}: it took more than {limits.memory_mib} MiB, or crashed."
        )
    size = int.from_bytes(output[:4], "big")
    head: dict[str, Any] = json.loads(output[4 : 4 + size])
    if "error" in head:
        raise _ERRORS[head["error"]](head["message"])
    return SqlOutput(output[4 + size :], head["rows"], head["truncated"], head["records"], head["bytes"])


def _late(limits: SqlLimits) -> SqlLimitError:
    return SqlLimitError(
        f"The statement takes more than {limits.seconds:g} s: narrow it by time >= TIMESTAMPTZ '…', "
        '"offset" >= N, "partition" = N or key = \'…\'.'
    )
