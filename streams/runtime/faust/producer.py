"""Faust's producer over the group commit: a send joins the batch in hand, or is a unit of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport import producer
from faust.types import TP
from faust.types.tuples import RecordMetadata

from streams.runtime.batch import CURRENT
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import DeadAssignmentError


class Producer(producer.Producer):
    """`await topic.send(...)` gives a future that is done after the commit: never await it within its own batch."""

    app: Any

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Any:
        """Add the record to the batch in hand, else to a unit of any assignment of this worker.

        Raises DeadAssignmentError outside a batch while this worker owns no partition, RecordTooLargeError always.
        """
        runtime = self.app.runtime
        batch = CURRENT.get()
        own = batch is None or batch.sealed or not batch.assignment.live
        unit: CommitUnit = CommitUnit(self._any_assignment()) if batch is None or own else batch
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or []) or None
        unit.send(topic, value, key, -1 if partition is None else partition, pairs)
        done: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        number = partition or 0
        unit.on_commit.append(
            lambda: (
                None
                if done.done()
                else done.set_result(
                    RecordMetadata(topic=topic, partition=number, topic_partition=TP(topic, number), offset=-1)
                )
            )
        )
        if own:
            unit.on_refuse = lambda error: None if done.done() else done.set_exception(error)
            runtime.committer.add(unit)
        return done

    def _any_assignment(self) -> Any:
        for owned in self.app.runtime.assignments.values():
            if owned.live and owned.ready:
                return owned
        raise DeadAssignmentError("this worker owns no partition now, so it cannot prove a write; send from an agent")

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> Any:
        """Send outside a batch and wait for the commit."""
        return await (await self.send(*args, **kwargs))

    async def flush(self) -> None:
        """Wait for the commit of what was sent before."""
        await self.buffer.flush()

    def supports_headers(self) -> bool:
        """Headers are preserved."""
        return True

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Return where murmur2 puts `key`."""
        from topics.partition import partition_of  # noqa: PLC0415 - only Faust's router asks

        return TP(topic, partition_of(key, self.app.runtime.partitions))

    async def create_topic(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: topics are declared in the catalogue and made by `streams topics apply`."""
