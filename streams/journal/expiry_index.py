"""The index of the ledger by time: what is deleted some time after it came is found in the order of its times.

An entry is the kind of a row, a time (milliseconds since the epoch, 8 bytes, big-endian) and the row's key. Entries are
hints: an entry may outlive its row, and the row may have a younger entry beside it. Who reads one looks at the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas.parked_event import ParkedEvent
from streams.engine.entry import END, EXPIRED
from streams.journal import store_keys
from streams.journal.journal_store import recorded_ms_of
from streams.runtime.store_index import StoreIndex

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.runtime.partition_store import PartitionStore

EARLY_FLAG: Final = b"1"  # the row that says that a run has early signals
ENDS: Final = b"r/"  # ends of runs
MARKERS: Final = b"m/"  # what is left of runs whose history was deleted
_TIME_BYTES: Final = 8


class ExpiryHint(NamedTuple):
    """An entry: `at` is where the index has it, `key` the key of its row, `ms` the time."""

    at: bytes
    key: bytes
    ms: int


def by_time(codec: Codec) -> StoreIndex:
    """Return the index of a ledger whose rows `codec` decodes."""

    def of_run(key: bytes, row: bytes) -> Iterator[bytes]:
        path = key.split(b"/", 2)[2].decode()
        if path == EXPIRED:
            yield entry(MARKERS, recorded_ms_of(row), key)
        elif path.startswith(END):
            yield entry(ENDS, recorded_ms_of(row), key)

    def of_signal(key: bytes, row: bytes) -> Iterator[bytes]:
        if row != EARLY_FLAG:
            yield entry(store_keys.EARLY_SIGNAL, codec.decode(row, ParkedEvent).first_ms, key)

    makers: dict[bytes, Callable[[bytes, bytes], Iterable[bytes]]] = {
        store_keys.RUN: of_run,
        store_keys.EARLY_SIGNAL: of_signal,
    }
    makers |= {
        kind: partial(_as_text, kind) for kind in (store_keys.OUTSIDE_ID, store_keys.REDRIVEN, store_keys.FORK_WAITING)
    }

    def keys(key: bytes, row: bytes) -> Iterable[bytes]:
        if b"/~e" not in key and key.startswith(
            store_keys.RUN
        ):  # nearly every row that is written, so this comes first
            return ()
        maker = makers.get(key[: key.find(b"/") + 1])
        return () if maker is None else maker(key, row)

    return StoreIndex(b"1", keys, hints=True)


def _as_text(kind: bytes, key: bytes, row: bytes) -> tuple[bytes]:
    return (entry(kind, int(row), key),)


def entry(kind: bytes, ms: int, key: bytes) -> bytes:
    """Return the entry of a row."""
    return kind + ms.to_bytes(_TIME_BYTES, "big") + key


def older(store: PartitionStore, kind: bytes, before_ms: int, start: bytes | None = None) -> Iterator[ExpiryHint]:
    """Yield the hints of a kind with times before `before_ms`, oldest first, from the entry `start` on."""
    cut = len(kind)
    for at, _ in store.entries.scan_committed(kind, start):
        ms = int.from_bytes(at[cut : cut + _TIME_BYTES], "big")
        if ms >= before_ms:
            return
        yield ExpiryHint(at, at[cut + _TIME_BYTES :], ms)


def is_current(store: PartitionStore, hint: ExpiryHint) -> bool:
    """Return whether the committed row of a hint is there and still has that time."""
    row = store.committed(hint.key)
    return row is not None and store.index is not None and hint.at in set(store.index.keys(hint.key, row))
