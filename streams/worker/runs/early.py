"""Signals that came before their run: kept beside the journal and joined when the run is taken in.

Two topics have no common order, so a signal or cancel for an unknown run is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streams.engine.messages import CancelAsked, SignalArrived
from streams.worker.journal import LEDGER

if TYPE_CHECKING:
    from streams.engine.messages import Message
    from streams.worker.runs.desk import Desk, Live
    from streams.worker.state.batch import Batch


def prefix(run_id: str) -> bytes:
    """Return the key prefix of a run's early signals."""
    return f"e/{run_id}/".encode()


def flag(run_id: str) -> bytes:
    """Return the key that says that a run has early signals."""
    return f"e/{run_id}".encode()


def keep(batch: Batch, run_id: str, message: Message) -> bool:
    """Keep a signal or cancel for a run that is not known yet; return False for anything else."""
    row: dict[str, Any]
    if isinstance(message, SignalArrived):
        row = {"kind": "signal", "id": message.id, "name": message.name, "data": message.data}
    elif isinstance(message, CancelAsked):
        row = {"kind": "cancel", "id": message.id, "name": message.reason}
    else:
        return False
    store = batch.slice.stores[LEDGER]
    batch.put(store, prefix(run_id) + message.id.encode(), orjson.dumps(row))
    batch.put(store, flag(run_id), b"1")
    return True


def joined(batch: Batch, live: Live, desk: Desk) -> None:
    """Give a run that was just taken in what came for it before, in the same unit."""
    store = batch.slice.stores[LEDGER]
    if store.get(flag(live.run_id)) is None:  # nearly always: a look-up, not a scan
        return
    batch.put(store, flag(live.run_id), None)
    for key, value in list(store.scan(prefix(live.run_id))):
        row = orjson.loads(value)
        if row["kind"] == "signal":
            desk.tell(live, SignalArrived(row["id"], row["name"], row["data"]), batch)
        else:
            desk.tell(live, CancelAsked(row["id"], row["name"]), batch)
        batch.put(store, key, None)
