"""Where a replay is: stored on the log beside what it writes, so that it can be stopped, killed, and gone on with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from streams.clock import now_ms
from streams.replay.errors import ReplayError, RetentionError
from topics.admin import apply, describe, plan, topic_names
from topics.producer import EventProducer
from topics.reader import offsets, read
from topics.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.replay.log import ReplayLog, Stretch


class Position:
    """One compacted topic `PREFIX.position`: what is replayed, and for each partition the next offset.

    A position is noted after what was made of the records before it is acknowledged: who goes on may make the last of
    it again, and finds it there. `subject` says what is replayed; another subject under one prefix is refused.
    """

    def __init__(self, log: ReplayLog, into: str, subject: Mapping[str, Any], *, replication_factor: int = 1) -> None:
        self.next: dict[int, int] = {}
        self.resumed = False
        self._log = log
        self._into = into
        self._topic = log.names.topic(f"{into}.position")
        self._subject = dict(subject)
        self._copies = replication_factor
        self._stretch: Stretch | None = None
        self._producer = EventProducer(log.config, log.codec, f"/streams/replay/{into}", now_ms=now_ms)

    async def begin(self, stretch: Stretch, *, go_on: bool) -> Stretch:
        """Return the stretch to replay: the given one, or with `go_on` the one that was begun, to its own end.

        Raises ReplayError when there is nothing to go on with, or something else was begun and not finished.
        """
        stretch = await asyncio.to_thread(self._begin, stretch, go_on)
        self._stretch = stretch
        await asyncio.gather(*(self.note(partition, offset) for partition, offset in self.next.items()))
        return stretch

    async def note(self, partition: int, offset: int) -> None:
        """Store the next offset of a partition; raises as the producer does."""
        if self._stretch is None:
            return
        place = {"start": self._stretch.start[partition], "next": offset, "end": self._stretch.end[partition]}
        value = orjson.dumps({**self._subject, **place})
        await self._producer.send_raw(self._topic, value, key=str(partition).encode())
        self.next[partition] = offset

    async def close(self) -> None:
        """Stop the producer."""
        await self._producer.close()

    def _begin(self, stretch: Stretch, go_on: bool) -> Stretch:
        saved = self._saved()
        unfinished = any(place["next"] < place["end"] for place in saved.values())
        if go_on:
            if not saved:
                raise ReplayError(f"no replay was begun under {self._into!r}, so there is none to go on with")
            self._same(next(iter(saved.values())))
            self.next = {partition: place["next"] for partition, place in saved.items()}
            self.resumed = True
            return self._as_begun(stretch, saved)
        if unfinished:
            raise ReplayError(
                f"a replay under {self._into!r} is not finished: go on with it (--continue), or give another --into"
            )
        self._make()
        self.next = dict(stretch.start)
        self.resumed = bool(saved)
        return stretch

    def _same(self, begun: dict[str, Any]) -> None:
        for name, value in self._subject.items():
            if begun.get(name) != value:
                raise ReplayError(
                    f"the replay under {self._into!r} was begun with {name} {begun.get(name)!r}, not {value!r}: "
                    "say the same, or give another --into"
                )

    def _as_begun(self, stretch: Stretch, saved: Mapping[int, dict[str, Any]]) -> Stretch:
        """Return the stretch of the beginning; raises RetentionError if the log has lost a part of it since."""
        start = {partition: place["start"] for partition, place in saved.items()}
        end = {partition: place["end"] for partition, place in saved.items()}
        for partition, low in offsets(self._log.config, stretch.topic, "earliest").items():
            if low > start.get(partition, low):
                raise RetentionError(
                    f"{stretch.topic} now begins at offset {low} in partition {partition}: retention has deleted "
                    "records of this replay, which can no longer be gone on with; begin another one"
                )
        return replace(stretch, start=start, end=end)

    def _saved(self) -> dict[int, dict[str, Any]]:
        if self._topic not in topic_names(self._log.config):
            return {}
        return {
            int(record.key or b"0"): orjson.loads(record.value)
            for record in read(self._log.config, self._topic)
            if record.value is not None
        }

    def _make(self) -> None:
        wanted = Topic(self._topic, "where a replay is", kind="state", key="partition", cleanup="compact", partitions=1)
        config = self._log.config
        changes = plan(describe(config, [self._topic]), [wanted], partitions=1, replication_factor=self._copies)
        if not changes.empty:
            apply(config, changes)
