"""Who runs on a state folder: one pipeline at a time holds it, and others read there where that pipeline listens."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Self

import orjson

from streams.local.errors import AlreadyRunningError
from streams.private_folder import private_folder

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "pipeline.lock"
ADDRESSES = "pipeline.json"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Where the parts of a running pipeline are reached; `model` is None when it is not a local one."""

    process: int
    kafka: str
    gateway: str
    model: str | None = None


class StateFolder:
    """Exclusive use of the folder `state_dir` for as long as the `with` block lasts, or this process lives."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir.resolve()
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the folder, made if absent; AlreadyRunningError when another process has it."""
        private_folder(self.path)
        lock = (self.path / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            advice = "stop it, or set STREAMS_STATE_DIR to another folder"
            raise AlreadyRunningError(f"Another pipeline (process {owner}) uses {self.path}: {advice}.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        return self

    def __exit__(self, *exc: object) -> None:
        """Release the folder; what it says about addresses is no longer true then."""
        (self.path / ADDRESSES).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def reset(self) -> None:
        """Remove everything in the folder but the lock that we hold."""
        for entry in self.path.iterdir():
            if entry.name != LOCK:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def announce(self, pipeline: Pipeline) -> None:
        """Write down where the pipeline is reached, for `running`."""
        draft = self.path / f".{ADDRESSES}"
        draft.write_bytes(orjson.dumps(asdict(pipeline)))
        draft.replace(self.path / ADDRESSES)


def running(state_dir: Path) -> Pipeline | None:
    """Return where the pipeline on `state_dir` is reached; None when none is up, even if a crash left its file."""
    try:
        with (state_dir / LOCK).open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        addresses = state_dir / ADDRESSES
        return Pipeline(**orjson.loads(addresses.read_bytes())) if addresses.is_file() else None
    except FileNotFoundError:
        return None
    return None
