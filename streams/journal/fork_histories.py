"""The long history of a fork, which comes in parts before its submission and is stored beside the journal until then.

A submission that is refused leaves them, since it may be redriven; a row says since when they wait, so that they go
with time when nobody does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams import clock
from streams.engine.fork import assembled
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.run import RunHistoryGiven, RunSubmitted
    from streams.runtime.batch import RecordBatch
    from streams.runtime.partition_store import PartitionStore


def keep(batch: RecordBatch, event: RunHistoryGiven) -> None:
    """Store a part; its offset can pass with it."""
    store = batch.assignment.stores[LEDGER]
    batch.put(store, _key(event.run_id, event.number), event.text.encode())
    if event.number == 0:
        batch.put(store, store_keys.FORK_WAITING + event.run_id.encode(), b"%d" % clock.now_ms())


def whole(batch: RecordBatch, event: RunSubmitted) -> RunSubmitted:
    """Return the submission with the history that came before it; raises ForkError if some of it did not."""
    if event.history_parts is None:
        return event
    store = batch.assignment.stores[LEDGER]
    rows = [store.get(_key(event.run_id, number)) for number in range(event.history_parts)]
    return assembled(event, [None if row is None else row.decode() for row in rows])


def drop(batch: RecordBatch, event: RunSubmitted) -> None:
    """Delete the parts, in the unit that takes the run in."""
    if event.history_parts is None:
        return
    store = batch.assignment.stores[LEDGER]
    for number in range(event.history_parts):
        batch.put(store, _key(event.run_id, number), None)
    batch.put(store, store_keys.FORK_WAITING + event.run_id.encode(), None)


def left(store: PartitionStore, waiting: bytes) -> Iterator[bytes]:
    """Yield the keys that a refused fork has left, given the key that says since when they wait; that one last."""
    parts = store_keys.FORK_PART + waiting.removeprefix(store_keys.FORK_WAITING) + b"/"
    yield from (key for key, _ in store.scan_committed(parts))
    yield waiting


def _key(run_id: str, number: int) -> bytes:
    return store_keys.FORK_PART + f"{run_id}/{number}".encode()
