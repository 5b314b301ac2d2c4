"""Starts the loop monitor's process (`streams.runtime.loop_process`) and keeps it alive."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from streams.activity import BOARD
from streams.error_text import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings

log = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("loop_process.py")
_NOT_USERS: Final = (*LIBRARIES, str(Path(__file__).parents[1]))  # and ours
_SIGNAL: Final = int(getattr(signal, "SIGRTMIN", signal.SIGUSR1)) + 5 * hasattr(signal, "SIGRTMIN")
_AGAIN_S: Final = 10.0  # before a monitor that has ended is started again


class LoopMonitor:
    """The process that ends this one when its event loop is blocked for longer than `loop_blocked_after` seconds."""

    def __init__(self, settings: Settings, client: Mapping[str, Any], topic: str, prefix: bytes) -> None:
        """Record in `topic`, the journal's changelog, under keys with `prefix`; `client` has the cluster's address."""
        self._after = settings.loop_blocked_after
        self._config = {
            "kafka": {name: value for name, value in client.items() if isinstance(value, str | int | float | bool)},
            "topic": topic,
            "prefix": prefix.decode(),
            "signal": _SIGNAL,
            "not_users": _NOT_USERS,
            "path": sys.path,
            "log_format": settings.log_format,
        }
        self._stacks = tempfile.TemporaryFile()  # noqa: SIM115 - it is needed for as long as the process lives

    async def run(self) -> None:
        """Keep the monitor alive until cancelled."""
        if not self._after:
            log.warning("STREAMS_LOOP_BLOCKED_AFTER=0: a worker whose event loop is blocked is not ended")
            return
        faulthandler.register(_SIGNAL, file=self._stacks, all_threads=True, chain=False)
        while True:
            status = await self._life()
            log.warning("the loop monitor ended with status %s: it is started again in %g s", status, _AGAIN_S)
            await asyncio.sleep(_AGAIN_S)

    async def _life(self) -> int:
        files = (BOARD.file, self._stacks.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_SCRIPT),
            *map(str, files),
            str(os.getpid()),
            str(self._after),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=files,
        )
        stdin = cast("asyncio.StreamWriter", process.stdin)
        stdin.write(json.dumps(self._config).encode() + b"\n")
        try:
            return await process.wait()
        finally:
            stdin.close()  # it ends with that
