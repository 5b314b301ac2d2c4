"""Where a replay writes: topics of its own under a prefix, so that nobody who reads the real ones notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.attributes import Attributes
from streams.engine.view import EFFECTS
from streams.replay.outbox import Outbox
from streams.replay.written_records import WrittenRecords, substance
from streams.telemetry import redact_json
from topics.admin import apply, describe, plan, topic_names
from topics.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.decision import Output
    from streams.engine.entry import Entry
    from streams.replay.log import ReplayLog


class Shadow:
    """Writes outputs to `PREFIX.<topic>`, made as their originals are; a dry one only counts them.

    When a replay under its prefix ran before, what is there as it is now is not written again.
    """

    def __init__(
        self, log: ReplayLog, topics: Iterable[Topic], into: str, *, replication_factor: int = 1, dry: bool = False
    ) -> None:
        self.into = into
        self.written: Counter[str] = Counter()
        self._log = log
        self._declared = {topic.name: topic for topic in topics}
        self._copies = replication_factor
        self._dry = dry
        self._made: set[str] = set()
        self._making = asyncio.Lock()
        self._there: WrittenRecords | None = None
        self.left: Counter[str] = Counter()
        self._outbox = Outbox(log, f"/streams/replay/{into}")

    def resume(self) -> None:
        """Expect that some of what comes is there already; what is equal is left."""
        self._there = WrittenRecords(self._log)

    async def output(self, output: Output, at_ms: int) -> None:
        """Write what a run or reaction sent, with its own id and time; raises as the producer does."""
        home = _home(output)
        topic = await self._topic(home)
        if topic is None:
            return
        if self._there is not None:
            digest = substance(self._log.codec, output.event)
            if self._there.of(topic, output.id) == digest:
                self._leave(home)
                return
            self._there.add(topic, output.id, digest)
        extra = {}
        if output.to == "signals" and output.agent is not None:
            extra = {"agent": output.agent, "pool": output.pool or "default"}
        attributes = Attributes(output.id, output.event.event_type, f"/streams/replay/{self.into}", at_ms, extra=extra)
        value, key = self._log.codec.encode(output.event), output.key.encode() or None
        await self._outbox.put(topic, value, key=key, headers=attributes.to_headers())

    async def entry(self, pool: str, entry: Entry) -> None:
        """Write an entry of a journal."""
        record = entry.to_record()
        if entry.kind in EFFECTS and entry.input is not None:  # for people to read, as in a worker's journal
            record = record.model_copy(update={"input": redact_json(entry.input)})
        await self._keyed(f"journal.{pool}", entry.key(), self._log.codec.encode(record), None)

    async def row(self, name: str, partition: int, key: bytes, value: bytes) -> None:
        """Write a row of a table, given the table's topic without prefix."""
        await self._keyed(name, key, value, partition)

    async def flush(self) -> None:
        """Wait until the broker has acknowledged everything; raises what it refused."""
        await self._outbox.flush()

    async def close(self) -> None:
        """Stop the producer; what was not flushed is not written."""
        await self._outbox.close()

    async def _keyed(self, home: str, key: bytes, value: bytes, partition: int | None) -> None:
        topic = await self._topic(home)
        if topic is None:
            return
        if self._there is not None and self._there.same(topic, key, value, partition):
            self._leave(home)
            return
        await self._outbox.put(topic, value, key=key, partition=partition)

    def _leave(self, home: str) -> None:
        self.written[f"{self.into}.{home}"] -= 1
        self.left["unchanged outputs"] += 1

    async def _topic(self, bare: str) -> str | None:
        """Count a record and return the topic for it, made when it is first needed; None when nothing is written."""
        shadow = f"{self.into}.{bare}"
        self.written[shadow] += 1
        if self._dry:
            return None
        name = self._log.names.topic(shadow)
        if name not in self._made:
            async with self._making:
                if name not in self._made:
                    await asyncio.to_thread(self._make, name, self._log.names.topic(bare))
                    self._made.add(name)
        return name

    def _make(self, name: str, original: str) -> None:
        config = self._log.config
        count = topic_names(config).get(original, 1)
        declared = self._declared.get(original) or Topic(original)
        wanted = replace(declared, name=name, description=f"a replay's copy of {original}", partitions=count)
        changes = plan(describe(config, [name]), [wanted], partitions=count, replication_factor=self._copies)
        if not changes.empty:
            apply(config, changes)
        if self._there is not None:
            self._there.load(name)


def _home(output: Output) -> str:
    """Return the topic of an output, without prefix."""
    return f"agents.{output.agent}" if output.to == "agents" else output.to
