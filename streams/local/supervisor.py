"""Keeps the processes of a pipeline alive: a dead one is back within a second, and all are stopped in reverse order."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from streams.clock import monotonic
from streams.local.errors import LocalError, StartError
from streams.local.probe import not_ready
from streams.local.spawn import Process, ended, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from streams.local.merged_log import MergedLog

SHORT_LIFE = 2.0  # seconds; who dies sooner than that is not restarted in a hot loop
PAUSE = 0.8  # seconds before such a restart
PATIENCE = 3  # short lives before the first readiness after which a start counts as failed
LAST_WORDS = 0.2  # seconds for what a dead process has still in its pipe
READY = 120.0  # seconds for a start: longer than the minute for which a worker itself waits for its broker's answer
LOOK = 0.05  # seconds between two looks at a process that starts


@dataclass(slots=True)
class Child:
    """One process to keep alive: `launch` starts it (blocking), `ready` is the URL that answers 200 when it is up.

    `stop` ends it cleanly (blocking); without it the process gets SIGTERM, and SIGKILL after `grace` seconds.
    The highest `rank` is stopped first, equal ones together.
    """

    name: str
    launch: Callable[[], Process]
    ready: str | None = None
    stop: Callable[[], None] | None = None
    grace: float = 10.0
    rank: int = 0
    process: Process | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    short_lives: int = field(default=0, init=False)
    was_ready: bool = field(default=False, init=False)
    replacing: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        ready: str | None = None,
        grace: float = 10.0,
        rank: int = 0,
    ) -> Self:
        """Return a child that runs `command`, its output piped into the merged log."""
        launch = partial(spawn, command, output=subprocess.PIPE, environment=environment)
        return cls(name, launch, ready, grace=grace, rank=rank)


class Supervisor:
    """Runs children until `stop`; use as `async with`, whose exit stops them all."""

    def __init__(self, log: MergedLog) -> None:
        self.children: dict[str, Child] = {}
        self._log = log
        self._tasks = asyncio.TaskGroup()
        self._stopping = asyncio.Event()
        self._restarted = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:  # the group would wrap it
            await self._tasks.__aexit__(None, None, None)

    async def start(self, child: Child) -> None:
        """Start `child` and keep it alive from then on; raises what its launch raises."""
        self.children[child.name] = child  # before the launch, so that a stop in the middle of it ends it, too
        child.process = await asyncio.to_thread(child.launch)
        if self._stopping.is_set():
            await asyncio.to_thread(_end, child)
            message = f"{child.name} was stopped while it was being started."
            raise StartError(message)
        self._tasks.create_task(self._keep(child, child.process))

    async def wait_ready(self, child: Child, timeout: float = READY) -> None:
        """Return when `child` answers; StartError when it ended too often before that, or after `timeout` seconds."""
        deadline = monotonic() + timeout
        while child.ready is not None and (why := await not_ready(child.ready)) is not None:
            if child.short_lives >= PATIENCE:
                message = f"{child.name} ended {PATIENCE} times before it was ready: its last lines are above."
                raise StartError(message)
            if monotonic() > deadline:
                message = f"{child.name} was not ready within {timeout:.0f} s ({child.ready}): {why}."
                raise StartError(message)
            if await self._stopped_within(LOOK):
                message = f"{child.name} was stopped before it was ready."
                raise StartError(message)
        child.was_ready = True

    async def restart(self, child: Child, timeout: float = READY) -> None:
        """Stop `child`, start it anew and return when it answers; raises what `wait_ready` does."""
        times = child.restarts + 1
        child.replacing, child.short_lives = True, 0
        await asyncio.to_thread(_end, child)
        await self.wait_restarted(child, times)
        child.replacing = False
        await self.wait_ready(child, timeout)

    async def wait_restarted(self, child: Child, times: int = 1) -> None:
        """Return when `child` has been started anew `times` times in all; it need not be ready again."""
        while child.restarts < times:
            await self._restarted.wait()

    async def stop(self) -> None:
        """Stop all children, the highest rank first, each within its time limit; may be called again."""
        self._stopping.set()
        for rank in sorted({child.rank for child in self.children.values()}, reverse=True):
            equals = [child for child in self.children.values() if child.rank == rank]
            await asyncio.gather(*(asyncio.to_thread(_end, child) for child in equals))
        self.children.clear()

    async def _keep(self, child: Child, process: Process) -> None:
        while True:
            born = monotonic()
            status = await self._life(child, process)
            if self._stopping.is_set():
                return
            short = monotonic() - born < SHORT_LIFE and not child.replacing
            child.short_lives = child.short_lives + 1 if short else 0
            if not child.replacing:
                self._log.line(child.name, f"ended ({_status_text(status)}): starting it again")
            if short and (child.short_lives > 1 or not child.was_ready) and await self._stopped_within(PAUSE):
                return
            again = await self._launched(child)
            if again is None:
                return
            process = again

    async def _launched(self, child: Child) -> Process | None:
        """Start `child` anew, as often as it takes; None when all are to stop."""
        while not self._stopping.is_set():
            try:
                child.process = await asyncio.to_thread(child.launch)
            except (LocalError, OSError) as error:
                self._log.line(child.name, f"could not be started: {error}")
                await self._stopped_within(PAUSE)
                continue
            child.restarts += 1
            self._restarted.set()
            self._restarted = asyncio.Event()
            if not self._stopping.is_set():
                return child.process
            await asyncio.to_thread(_end, child)  # stopped while it was being started
        return None

    async def _life(self, child: Child, process: Process) -> int:
        async with asyncio.TaskGroup() as tasks:
            pipe = process.stdout
            log = tasks.create_task(self._log.follow(child.name, pipe)) if pipe is not None else None
            status = await ended(process)
            if log is not None:
                await asyncio.wait({log}, timeout=LAST_WORDS)
                log.cancel()  # a grandchild may still hold the pipe
        return status

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False


def _end(child: Child) -> None:
    process = child.process
    if child.stop is not None:
        child.stop()
    elif process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(child.grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _status_text(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
