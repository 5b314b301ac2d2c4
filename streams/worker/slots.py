"""Slots: a worker's number is stable and exclusive, so that a restart finds its stores and frees what it left open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from streams.worker.errors import WorkerError

_MOST: Final = 1000


class SlotTakenError(WorkerError):
    """Raised when another process of this machine runs in the slot."""


class Slot:
    """A locked folder; the lock goes with the process, however it ends."""

    def __init__(self, name: str, folder: Path, handle: int) -> None:
        """Hold the lock behind `handle`."""
        self.name = name
        self.folder = folder
        self._handle = handle

    def close(self) -> None:
        """Free the slot."""
        os.close(self._handle)


def take(state_dir: Path, pool: str, name: str | None) -> Slot:
    """Lock slot `name`, or the first free number; raises SlotTakenError."""
    home = state_dir / "workers" / pool
    for candidate in [name] if name is not None else [str(number) for number in range(_MOST)]:
        slot = _lock(home / candidate, candidate)
        if slot is not None:
            return slot
    raise SlotTakenError(
        f"slot {name} of pool {pool} is in use by another process: leave out --slot, or choose another"
        if name is not None
        else f"all {_MOST} slots of pool {pool} are in use"
    )


def _lock(folder: Path, name: str) -> Slot | None:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return Slot(name, folder, handle)
