"""Partition stores on rocksdict: committed rows only, with the changelog offset that they are good for.

A store's file always holds a correct prefix of its changelog, because rows and mark are one write batch made after the
commit. After kill -9 it is opened as it is and only the rest is read. Uncommitted writes live in an overlay in memory
that handlers read through and queries do not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, RdictIter, ReadOptions, WriteBatch

from streams.runtime.errors import StoreDamagedError, StoreError

if TYPE_CHECKING:
    from streams.runtime.store_index import StoreIndex

_MARK = b"\x00mark\x00"  # no row key starts with a zero byte: row keys are "<store>\x00<key>"
_INDEX = b"\x00index\x00"  # how the index of a store is made, once it is whole
_NOTE = b"\x00note\x00"
_DAMAGED: Final = ".damaged"  # beside the database's folder: why it could not be read
_CHUNK: Final = 5000  # rows indexed in one write


@dataclass(frozen=True, slots=True)
class ChangelogMark:
    """How far a store follows its changelog: `next_offset` of the topic with `topic_id`, as of `at_ms` (epoch)."""

    topic_id: str
    next_offset: int
    at_ms: int

    def encode(self) -> bytes:
        """Return the stored form."""
        return f"{self.topic_id} {self.next_offset} {self.at_ms}".encode()

    @classmethod
    def decode(cls, data: bytes) -> ChangelogMark:
        """Read the stored form; raises ValueError for anything else."""
        topic_id, next_offset, at_ms = data.decode().split(" ")
        return cls(topic_id, int(next_offset), int(at_ms))


class StoreOptions:
    """RocksDB options shared by all partitions of the process, so that memory does not grow with their number."""

    def __init__(self, *, cache_bytes: int = 64 * 1024 * 1024, memtable_bytes: int = 4 * 1024 * 1024) -> None:
        """Bound the block cache of the process and the memtable of each partition, in bytes."""
        self._cache = Cache(cache_bytes)
        self._memtable = memtable_bytes

    def options(self) -> Options:
        """Return options for one database."""
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_bloom_filter(10, block_based=False)
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_write_buffer_size(self._memtable)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(1)
        options.set_block_based_table_factory(table)
        return options


class PartitionDatabase:
    """The database of one partition number: journal and tables side by side, written in one batch a commit."""

    def __init__(
        self, path: Path, options: StoreOptions, *, damaged: Callable[[StoreDamagedError], None] | None = None
    ) -> None:
        """Open or create the database at `path`; a damaged one is removed, since the changelog has it all.

        `damaged` is called, in the thread that reads, with what is also raised when a row cannot be read: the process
        must end then, because what else was read may be short.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rebuilt: str | None = None
        self._damaged = damaged
        self._flag = path.with_name(f"{path.name}{_DAMAGED}")
        if self._flag.exists():
            self.rebuilt = self._flag.read_text("utf-8")
            shutil.rmtree(path, ignore_errors=True)
            self._flag.unlink()
        try:
            self._db = Rdict(str(path), options.options(), access_type=AccessType.read_write())
        except Exception as error:
            if "lock" in str(error).lower():
                raise  # somebody works with it: it is not damaged
            self.rebuilt = str(error)
            shutil.rmtree(path, ignore_errors=True)
            self._db = Rdict(str(path), options.options(), access_type=AccessType.read_write())

    def get(self, key: bytes) -> bytes | None:
        """Return the row of a raw key; raises StoreDamagedError."""
        try:
            return cast("bytes | None", self._db.get(key))
        except Exception as error:
            raise self._damage(error) from error

    def size(self) -> int:
        """Return the bytes of the database's table files on disk; 0 for one that is closed."""
        return int(self._db.property_int_value("rocksdb.total-sst-files-size") or 0)

    def close(self) -> None:
        """Close the database; its files stay for the next owner in this state folder."""
        self._db.close()

    def mark(self, store: str) -> ChangelogMark | None:
        """Return how far `store` follows its changelog, None if it must be built from the start."""
        data = self.get(_MARK + store.encode())
        if data is None:
            return None
        try:
            return ChangelogMark.decode(data)
        except ValueError:
            return None

    def apply(
        self, writes: Iterable[tuple[PartitionStore, bytes, bytes | None]], marks: Iterable[tuple[str, ChangelogMark]]
    ) -> None:
        """Write committed rows and the marks that they bring their stores to, atomically."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for store, key, value in writes:
            if value is None:
                delete(store.prefix + key)
                continue
            put(store.prefix + key, value)
            if store.hints is not None:
                for at in store.hints(key, value):
                    put(store.entries.prefix + at, b"")
        for name, mark in marks:
            put(_MARK + name.encode(), mark.encode())
        self._db.write(batch)

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield raw keys and rows with `prefix` in key order, from key `start` on (inclusive).

        Raises StoreDamagedError at a block that cannot be read.
        """
        bounds = _below(_after(prefix))  # alive as long as the iterator, which does not copy the bound
        found = self._db.iter(bounds)
        found.seek(start or prefix)
        valid, key, value, advance = found.valid, found.key, found.value, found.next
        while valid():
            yield cast("bytes", key()), cast("bytes", value())
            advance()
        self._require_end(found)

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Yield raw keys with `prefix` in key order, from key `start` on (inclusive); raises as `scan` does."""
        bounds = _below(_after(prefix))  # alive as long as the iterator, which does not copy the bound
        found = self._db.iter(bounds)
        found.seek(start or prefix)
        valid, key, advance = found.valid, found.key, found.next
        while valid():
            yield cast("bytes", key())
            advance()
        self._require_end(found)

    def _require_end(self, found: RdictIter) -> None:
        """Distinguish the end of the rows from a block that cannot be read: RocksDB's iterators stop at both."""
        try:
            found.status()
        except Exception as error:
            raise self._damage(error) from error

    def _damage(self, error: Exception) -> StoreError:
        """Return what to raise for an error of the library, reported if rows cannot be read.

        A damaged database is marked, so that the next start builds it anew; after an input-output error it stays.
        """
        text = str(error)
        if not text.startswith(("Corruption", "IO error")):
            return StoreError(
                f"the store in {self.path.name} failed ({text}): the worker restarts and reads its changelog"
            )
        if text.startswith("Corruption"):
            self._flag.write_text(text, "utf-8")
        made = StoreDamagedError(f"the store {self.path} cannot be read ({text}): the worker ends, to be started again")
        if self._damaged is not None:
            self._damaged(made)
        return made

    def indexed(self, store: PartitionStore) -> bool:
        """Return whether the index of `store` is whole and made as its rows are to be found now."""
        return store.index is None or self.get(_INDEX + store.name.encode()) == store.index.definition

    def index(self, store: PartitionStore) -> None:
        """Make the index of `store` anew from its rows."""
        if store.index is None:
            return
        name, entries = store.name.encode(), store.entries
        self._db.delete(_INDEX + name)
        self._db.delete_range(entries.prefix, _after(entries.prefix))
        rows = store.scan_committed()
        while chunk := list(islice(rows, _CHUNK)):
            self.apply(((entries, at, b"") for key, value in chunk for at in store.index.keys(key, value)), ())
        self._db.put(_INDEX + name, store.index.definition)

    def note(self, name: bytes) -> bytes | None:
        """Return the note under a name: what this database was seen to be, which no changelog says."""
        return self.get(_NOTE + name)

    def keep(self, name: bytes, value: bytes) -> None:
        """Store a note."""
        self._db.put(_NOTE + name, value)

    def clear(self, store: PartitionStore) -> None:
        """Delete all rows, the index and the mark of `store`, so that it is built anew."""
        for name in (_MARK, _INDEX):
            self._db.delete(name + store.name.encode())
        for prefix in (store.prefix, store.entries.prefix) if store.index else (store.prefix,):
            self._db.delete_range(prefix, _after(prefix))


def _below(bound: bytes) -> ReadOptions:
    options = ReadOptions()
    options.set_iterate_upper_bound(bound)
    return options


def _after(prefix: bytes) -> bytes:
    """Return the first key behind all keys with `prefix` (row prefixes end in a zero byte, never in 0xff only)."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1])


class OverlayWriter(Protocol):
    """What writes rows into the overlay: `streams.runtime.commit_unit.CommitUnit` is one."""

    sealed: bool


class PartitionStore:
    """One changelogged key-value store of one partition: committed rows below, the overlay of open units above."""

    __slots__ = ("db", "dirty", "entries", "hints", "index", "name", "partition", "prefix", "topic")

    def __init__(
        self,
        db: PartitionDatabase,
        name: str,
        topic: str,
        partition: int,
        index: StoreIndex | None = None,
        mark: bytes = b"\x00",
    ) -> None:
        """Name the store within its partition's database and the changelog `topic` that backs it.

        With `index` its rows are also found by what that says; the entries are in `entries`, which has no changelog.
        """
        self.db = db
        self.name = name
        self.topic = topic
        self.partition = partition
        self.prefix = name.encode() + mark
        self.index = index
        self.hints = index.keys if index is not None and index.hints else None
        self.entries: PartitionStore = (
            self if index is None else PartitionStore(db, name, topic, partition, None, b"\x01")
        )
        # What open units have written: the row, whose it is, and where it stands among that one's records and rows.
        self.dirty: dict[bytes, tuple[bytes | DeferredRow | None, OverlayWriter, tuple[int, int] | None]] = {}

    def clean(self) -> PartitionStore:
        """Return the same store without what is uncommitted, for the assignment that follows on this one."""
        return PartitionStore(self.db, self.name, self.topic, self.partition, self.index)

    def get(self, key: bytes) -> bytes | None:
        """Read through the overlay: what the handler itself and units before it have written."""
        held = self.dirty.get(key)
        if held is not None:
            return _bytes_of(held[0])
        return self.db.get(self.prefix + key)

    def committed(self, key: bytes) -> bytes | None:
        """Read committed rows only: what queries may see."""
        return self.db.get(self.prefix + key)

    def scan_committed(self, prefix: bytes = b"", start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield committed keys and rows with `prefix`, in key order, from key `start` on."""
        cut = len(self.prefix)
        for key, value in self.db.scan(self.prefix + prefix, None if start is None else self.prefix + start):
            yield key[cut:], value

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and rows with `prefix` through the overlay (committed ones first, then new ones)."""
        dirty = self.dirty
        for key, value in self.scan_committed(prefix):
            if key not in dirty:
                yield key, value
        for key, (fresh, *_) in list(dirty.items()):
            if key.startswith(prefix) and (row := _bytes_of(fresh)) is not None:
                yield key, row


class DeferredRow(Protocol):
    """A change of a row whose bytes are made at the commit, once for all changes of that row in a transaction."""

    store: PartitionStore
    key: bytes

    def data(self) -> bytes | None:
        """Return the row after the change."""


def _bytes_of(fresh: bytes | DeferredRow | None) -> bytes | None:
    return fresh if fresh is None or isinstance(fresh, bytes) else fresh.data()
