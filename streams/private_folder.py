"""Folders that other users of the machine cannot look into: they hold deliveries, answers of models and rows."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IRWXO


def private_folder(path: Path) -> Path:
    """Make `path` with mode 0700 if it is absent, else take the rights of others away if it is ours; return it.

    The rights of its group stay: containers that run as any user share a folder through group 0.
    """
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    return path
