"""Slots: a worker's number is stable and exclusive, so that a restart finds its stores and frees what it left open."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from typing import Final

from streams.private_folder import private_folder
from streams.runtime.errors import WorkerError

_MOST: Final = 1000


class SlotTakenError(WorkerError):
    """Raised when another process of this machine runs in the slot."""


class WorkerSlot:
    """A locked folder; the lock goes with the process, however it ends."""

    def __init__(self, name: str, identity: str, folder: Path, handle: int) -> None:
        """Hold the lock behind `handle`; `identity` is the slot's name for the cluster."""
        self.name = name
        self.identity = identity
        self.folder = folder
        self._handle = handle

    def close(self) -> None:
        """Free the slot."""
        os.close(self._handle)


def take(state_dir: Path, pool: str, name: str | None) -> WorkerSlot:
    """Lock slot `name`, or the first free number; raises SlotTakenError."""
    home = private_folder(state_dir) / "workers" / pool
    for candidate in [name] if name is not None else [str(number) for number in range(_MOST)]:
        slot = _lock(home / candidate, candidate, given=name is not None)
        if slot is not None:
            return slot
    raise SlotTakenError(
        f"slot {name} of pool {pool} is in use by another process: leave out --slot, or choose another"
        if name is not None
        else f"all {_MOST} slots of pool {pool} are in use"
    )


def _lock(folder: Path, name: str, *, given: bool) -> WorkerSlot | None:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return WorkerSlot(name, name if given else f"{name}-{_mark(folder)}", folder, handle)


def _mark(folder: Path) -> str:
    """Return the mark of this folder: numbers that two machines take by themselves must not be one slot."""
    file = folder / "id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:8])
    return file.read_text().strip()
