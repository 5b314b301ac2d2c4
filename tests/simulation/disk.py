"""Holds partition stores in memory in the place of RocksDB; they outlive their process and can lose what was written.

A database is a folder on a simulated disk. A crash of the machine loses writes that were not flushed; a crash of the
process loses none, since the operating system has them.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any


class Files:
    """The databases of one simulated disk, by path."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}

    def wipe(self) -> None:
        """Lose everything."""
        self.databases.clear()


class Database:
    """The rows of one database, sorted; `log` has the latest batches, which a torn write may take back."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.undo: list[dict[bytes, bytes | None]] = []
        self.corrupt = False
        self.open = False
        self.pid = 0

    def write(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        before: dict[bytes, bytes | None] = {}
        for key, value in changes:
            if key not in before:
                before[key] = self.rows.get(key)
            self._put(key, value)
        self.undo.append(before)
        if len(self.undo) > 64:
            del self.undo[:32]

    def tear(self, batches: int) -> None:
        """Take back the latest batches, as a write-ahead log that ends in a torn record does."""
        for _ in range(min(batches, len(self.undo))):
            for key, value in self.undo.pop().items():
                self._put(key, value)

    def _put(self, key: bytes, value: bytes | None) -> None:
        known = key in self.rows
        if value is None:
            if known:
                del self.rows[key]
                del self.keys[bisect.bisect_left(self.keys, key)]
            return
        if not known:
            bisect.insort(self.keys, key)
        self.rows[key] = value


class Options:
    """Options that change nothing here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.bound: bytes | None = None

    def set_iterate_upper_bound(self, bound: bytes) -> None:
        self.bound = bound

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class WriteBatch:
    def __init__(self, raw_mode: bool = True) -> None:
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


class Iter:
    def __init__(self, database: Database, bound: bytes | None) -> None:
        self._database = database
        self._bound = bound
        self._keys: list[bytes] = []
        self._at = 0

    def seek(self, key: bytes) -> None:
        """Begin at a key; the rows are those of this moment, as a snapshot has them."""
        keys = self._database.keys
        start = bisect.bisect_left(keys, key)
        end = len(keys) if self._bound is None else bisect.bisect_left(keys, self._bound)
        self._keys = keys[start:end]
        rows = self._database.rows
        self._values = [rows[one] for one in self._keys]
        self._at = 0

    def valid(self) -> bool:
        return self._at < len(self._keys)

    def key(self) -> bytes:
        return self._keys[self._at]

    def value(self) -> bytes:
        return self._values[self._at]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        if self._database.corrupt:
            raise Exception("Corruption: block checksum mismatch")  # noqa: TRY002 - as the library does


class Disks:
    """Gives product code the `Rdict` of the process that runs."""

    def __init__(self, process: Any, files_of: Any) -> None:
        """Ask `process()` who runs, and `files_of(process)` for its disk."""
        self._process = process
        self._files_of = files_of

    def rdict(self, path: str, _options: Any = None, access_type: Any = None) -> Rdict:
        process = self._process()
        databases = self._files_of(process).databases
        database = databases.get(path)
        if database is None:
            database = databases[path] = Database()
        if database.open and database.pid == process.pid:
            raise Exception(f"IO error: lock hold by current process, on {path}/LOCK")  # noqa: TRY002
        if database.corrupt:
            raise Exception("Corruption: checksum mismatch in the manifest")  # noqa: TRY002
        database.open, database.pid = True, process.pid
        return Rdict(database)

    def rmtree(self, path: Any, ignore_errors: bool = False) -> None:
        databases = self._files_of(self._process()).databases
        for name in [name for name in databases if name == str(path) or name.startswith(f"{path}/")]:
            del databases[name]


class Rdict:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._database.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._check()
        self._database.write([(key, value)])

    def delete(self, key: bytes) -> None:
        self._check()
        self._database.write([(key, None)])

    def delete_range(self, start: bytes, end: bytes) -> None:
        self._check()
        keys = self._database.keys
        found = keys[bisect.bisect_left(keys, start) : bisect.bisect_left(keys, end)]
        self._database.write([(key, None) for key in found])

    def write(self, batch: WriteBatch) -> None:
        self._check()
        self._database.write(batch.changes)

    def iter(self, options: Options | None = None) -> Iter:
        self._check()
        return Iter(self._database, None if options is None else options.bound)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self._database.rows.items()))

    def close(self) -> None:
        self._database.open = False

    def _check(self) -> None:
        if not self._database.open:
            raise Exception("DB instance is closed")  # noqa: TRY002 - as the library does
        if self._database.corrupt:
            raise Exception("Corruption: block checksum mismatch")  # noqa: TRY002


class AccessType:
    @staticmethod
    def read_write() -> None:
        return None
