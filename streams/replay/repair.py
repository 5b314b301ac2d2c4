"""Repairs in place: what a replay makes is held against what the log has, and only what differs or lacks is written.

An output that the log has under its id as it is now is left; one that says something else now is written under
`<id>~<digest>`; one that was never written gets the id that it would have had. So a repair that is repeated, or that
two people start, changes nothing more: the second one finds what the first one wrote, or its records are dropped by
their ids within the window in which workers recognise repetitions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.attributes import Attributes
from schemas.run import RunSubmitted
from streams.replay.outbox import Outbox
from streams.replay.written_records import WrittenRecords, substance

if TYPE_CHECKING:
    from streams.engine.decision import Output
    from streams.engine.entry import Entry
    from streams.replay.log import ReplayLog


class Repair:
    """Writes to the real topics; a dry one only counts. `homes` are the kinds of outputs that are repaired.

    Endings, signals and journals of runs are not: a run's course is changed by resume and fork.
    """

    def __init__(self, log: ReplayLog, into: str, homes: frozenset[str], *, dry: bool = False) -> None:
        self.into = into
        self.written: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self._log = log
        self._homes = homes
        self._dry = dry
        self._there = WrittenRecords(log)
        self._reading = asyncio.Lock()
        self._source = f"/streams/replay/{into}"
        self._outbox = Outbox(log, self._source)

    def begin(self, since_ms: int) -> None:
        """Look for outputs that far back, in milliseconds since the epoch."""
        self._there = WrittenRecords(self._log, since_ms)

    async def output(self, output: Output, at_ms: int) -> None:
        """Write an output if the log lacks it as it is now; raises as the producer does."""
        if output.to not in self._homes:
            self.left[f"not repaired in place: {output.to}"] += 1
            return
        home = f"agents.{output.agent}" if output.to == "agents" else output.to
        topic = self._log.names.topic(home)
        async with self._reading:
            await asyncio.to_thread(self._there.load, topic)
        digest = substance(self._log.codec, output.event)
        before = self._there.of(topic, output.id)
        if before is None and self._there.deleted_since(topic, output.key, at_ms):
            self.left["outputs that retention may have deleted"] += 1
            return
        if before is not None and before != digest:
            output = _other(output, digest.hex()[:12])
            before = self._there.of(topic, output.id)
        if before is not None:
            self.left["unchanged outputs"] += 1
            return
        self._there.add(topic, output.id, digest)
        self.written[home] += 1
        if not self._dry:
            await self._put(topic, output, at_ms)

    async def entry(self, pool: str, entry: Entry) -> None:
        """Leave journals as they are."""

    async def row(self, name: str, partition: int, key: bytes, value: bytes) -> None:
        """Leave rows to the owners of their partitions: they fold what is written here."""

    async def flush(self) -> None:
        """Wait until the broker has acknowledged everything; raises what it refused."""
        await self._outbox.flush()

    async def close(self) -> None:
        """Stop the producer; what was not flushed is not written."""
        await self._outbox.close()

    async def _put(self, topic: str, output: Output, at_ms: int) -> None:
        attributes = Attributes(output.id, output.event.event_type, self._source, at_ms)
        value, key = self._log.codec.encode(output.event), output.key.encode() or None
        await self._outbox.put(topic, value, key=key, headers=attributes.to_headers())


def _other(output: Output, digest: str) -> Output:
    """Return an output under an id of its own; a submission is then another run, since a known id runs only once."""
    event = output.event
    if not isinstance(event, RunSubmitted):
        return replace(output, id=f"{output.id}~{digest}")
    run_id = f"{event.run_id}~{digest}"
    return replace(output, event=event.model_copy(update={"run_id": run_id}), id=f"{run_id}/submitted/0", key=run_id)
