"""The broker's ahead-of-time cache: a first run writes it at its exit, later ones start three times as fast."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.local.java import Java


class AotCache:
    """One cache file for one class path and one Java; without effect where Java cannot use it."""

    def __init__(self, folder: Path, java: Java, jars: Sequence[Path], flags: Sequence[str]) -> None:
        # What the JVM compares when it opens the cache: with any of it changed the file would be ignored for ever.
        parts = [java.build, *flags, *(f"{jar}:{jar.stat().st_mtime_ns}" for jar in jars)]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        self._file = folder / f"kafka-{key}.aot"
        self._usable = java.has_aot
        self._training: Path | None = None

    def options(self, scratch: Path) -> list[str]:
        """Return JVM options: use the cache, else write one into the folder `scratch` at a clean exit."""
        self._training = None
        if not self._usable:
            return []
        if self._file.is_file():
            return [f"-XX:AOTCache={self._file}"]
        self._training = scratch / "training.aot"
        self._training.unlink(missing_ok=True)
        return [f"-XX:AOTCacheOutput={self._training}"]

    @property
    def training(self) -> bool:
        """Whether the run in hand writes the cache: its exit then takes some seconds longer."""
        return self._training is not None

    def keep(self) -> None:
        """Take the file that a clean exit has written into the shared folder, at once for all who look."""
        if self._training is not None and self._training.is_file():
            arriving = self._file.with_name(f".{self._training.parent.name}-{id(self)}.aot")
            shutil.move(self._training, arriving)
            arriving.replace(self._file)
        self._training = None

    def drop(self) -> bool:
        """Do without the cache from now on, after a start from it has failed; False if there was none in use."""
        used = self._usable and self._training is None and self._file.is_file()
        self._usable = False
        if used:
            self._file.unlink(missing_ok=True)
        return used
