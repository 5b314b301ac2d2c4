"""The long history of a fork, which comes in parts before its submission and is kept beside the journal until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.fork import assembled
from streams.worker.journal import LEDGER

if TYPE_CHECKING:
    from schemas.run import RunHistoryGiven, RunSubmitted
    from streams.worker.state.batch import Batch


def keep(batch: Batch, event: RunHistoryGiven) -> None:
    """Keep a part; its offset can pass with it."""
    batch.put(batch.slice.stores[LEDGER], _key(event.run_id, event.number), event.text.encode())


def whole(batch: Batch, event: RunSubmitted) -> RunSubmitted:
    """Return the submission with the history that came before it; raises ForkError if some of it did not."""
    if event.history_parts is None:
        return event
    store = batch.slice.stores[LEDGER]
    rows = [store.get(_key(event.run_id, number)) for number in range(event.history_parts)]
    return assembled(event, [None if row is None else row.decode() for row in rows])


def drop(batch: Batch, event: RunSubmitted) -> None:
    """Delete the parts, in the unit that takes the run in."""
    for number in range(event.history_parts or 0):
        batch.put(batch.slice.stores[LEDGER], _key(event.run_id, number), None)


def _key(run_id: str, number: int) -> bytes:
    return f"f/{run_id}/{number}".encode()
