"""Finds the process that owns a run, by what workers say of themselves on the log, and kills it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NamedTuple

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.errors import SchemaError
from schemas.worker import WorkerHeartbeat
from topics.names import Names
from topics.partition import partition_of
from topics.reader import read

if TYPE_CHECKING:
    from streams.settings import Settings


class RunOwner(NamedTuple):
    """A worker's process."""

    worker: str
    slot: str
    pid: int


def owner_of(settings: Settings, run: str, *, after_ms: int = 0) -> RunOwner | None:
    """Return the live process that owns a run's partition, by heartbeats later than `after_ms`; None if none does."""
    partition = partition_of(run.encode(), settings.partitions)
    codec = Codec(FileRegistry())
    newest: dict[str, WorkerHeartbeat] = {}
    for record in read(settings.kafka(), Names(settings.topic_prefix).workers):
        if record.value is None or record.timestamp <= after_ms:
            continue
        try:
            beat = codec.decode(record.value, WorkerHeartbeat)
        except SchemaError:
            continue
        newest[beat.worker_id] = beat
    owners = [beat for beat in newest.values() if partition in beat.partitions and alive(beat.pid)]
    if not owners:
        return None
    beat = max(owners, key=lambda owner: owner.at_ms)
    return RunOwner(beat.worker_id, beat.slot, beat.pid)


def alive(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(owner: RunOwner) -> None:
    """End a process as a crash does: nothing is flushed, no other process is notified."""
    os.kill(owner.pid, signal.SIGKILL)
