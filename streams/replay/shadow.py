"""Where a replay writes: topics of its own under a prefix, so that nobody who reads the real ones notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from schemas.attributes import Attributes
from streams.clock import now_ms
from topics.admin import apply, describe, plan, topic_names
from topics.producer import EventProducer
from topics.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.decision import Output
    from streams.engine.entry import Entry
    from streams.replay.log import Log

_AT_ONCE: Final = 500  # records under way


class Shadow:
    """Writes outputs to `PREFIX.<topic>`, made as their originals are; a dry one only counts them."""

    def __init__(
        self, log: Log, topics: Iterable[Topic], into: str, *, replication_factor: int = 1, dry: bool = False
    ) -> None:
        self.into = into
        self.written: Counter[str] = Counter()
        self._log = log
        self._declared = {topic.name: topic for topic in topics}
        self._copies = replication_factor
        self._dry = dry
        self._made: set[str] = set()
        self._under_way: list[Coroutine[Any, Any, Any]] = []
        self._producer = EventProducer(log.config, log.codec, f"/streams/replay/{into}", now_ms=now_ms)

    async def output(self, output: Output, at_ms: int) -> None:
        """Write what a run or reaction sent, with its own id and time; raises as the producer does."""
        topic = await self._topic(_home(output))
        if topic is None:
            return
        extra = {}
        if output.to == "signals" and output.agent is not None:
            extra = {"agent": output.agent, "pool": output.pool or "default"}
        attributes = Attributes(output.id, output.event.event_type, f"/streams/replay/{self.into}", at_ms, extra=extra)
        value, key = self._log.codec.encode(output.event), output.key.encode() or None
        await self._put(self._producer.send_raw(topic, value, key=key, headers=attributes.to_headers()))

    async def entry(self, pool: str, entry: Entry) -> None:
        """Write an entry of a journal."""
        topic = await self._topic(f"journal.{pool}")
        if topic is not None:
            value = self._log.codec.encode(entry.to_record())
            await self._put(self._producer.send_raw(topic, value, key=entry.key()))

    async def row(self, name: str, partition: int, key: bytes, value: bytes) -> None:
        """Write a row of a table, given the table's topic without prefix."""
        topic = await self._topic(name)
        if topic is not None:
            await self._put(self._producer.send_raw(topic, value, key=key, partition=partition))

    async def flush(self) -> None:
        """Wait until the broker has acknowledged everything; raises what it refused."""
        waiting, self._under_way = self._under_way, []
        await asyncio.gather(*waiting)

    async def close(self) -> None:
        """Stop the producer; what was not flushed is not written."""
        for waiting in self._under_way:
            waiting.close()
        if not self._dry:
            await self._producer.close()

    async def _put(self, sending: Coroutine[Any, Any, Any]) -> None:
        self._under_way.append(sending)
        if len(self._under_way) >= _AT_ONCE:
            await self.flush()

    async def _topic(self, bare: str) -> str | None:
        """Count a record and return the topic for it, made when it is first needed; None when nothing is written."""
        shadow = f"{self.into}.{bare}"
        self.written[shadow] += 1
        if self._dry:
            return None
        name = self._log.names.topic(shadow)
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


def _home(output: Output) -> str:
    """Return the topic of an output, without prefix."""
    return f"agents.{output.agent}" if output.to == "agents" else output.to
