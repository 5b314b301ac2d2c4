"""Faust tables on partition stores: bytes in and out, read through the batch in hand."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.tables import manager

from streams.runtime.batch import CURRENT, RecordBatch


class Table(faust.Table):
    """A table of bytes, owned per partition; a write is a row, a changelog record and the batch's offset in one."""

    def _batch(self) -> RecordBatch:
        batch = CURRENT.get()
        if batch is None:
            raise TypeError(f"table {self.name} is read and written within an agent; query it over HTTP elsewhere")
        return batch

    def get(self, key: bytes, default: Any = None) -> Any:
        """Return the row of the partition in hand."""
        value = self._batch().assignment.stores[self.name].get(key)
        return default if value is None else value

    def __getitem__(self, key: bytes) -> Any:
        """Return the row; a missing one is the table's default, or KeyError."""
        value = self.get(key)
        if value is not None:
            return value
        if self.default is not None:
            return self.default()
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Write the row with the batch in hand."""
        batch = self._batch()
        batch.put(batch.assignment.stores[self.name], key, value)

    def __delitem__(self, key: bytes) -> None:
        """Delete the row with the batch in hand."""
        batch = self._batch()
        batch.put(batch.assignment.stores[self.name], key, None)

    def __contains__(self, key: object) -> bool:
        """Return whether the partition in hand has the row."""
        return isinstance(key, bytes) and self.get(key) is not None


class _CompletedRecovery:
    """What Faust asks of a recovery service; assignments are restored one by one by the runtime."""

    def __init__(self) -> None:
        self.completed = asyncio.Event()
        self.completed.set()
        self.started = True
        self.in_recovery = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Do nothing."""


class TableManager(manager.TableManager):
    """Declares tables to Faust; recovery is the runtime's."""

    _restored: _CompletedRecovery | None = None

    @property
    def recovery(self) -> Any:
        """Return a recovery that is complete: agents only get records of restored assignments."""
        if self._restored is None:
            self._restored = _CompletedRecovery()
        return self._restored

    async def on_start(self) -> None:
        """Register the tables at once (Faust would first wait for a second)."""
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """Stop the tables."""
        for table in self.values():
            await table.stop()

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Do nothing."""
