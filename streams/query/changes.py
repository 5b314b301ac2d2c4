"""Notifies who watches a run that its journal grew: it follows the journal and reads its keys only."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.journal import store_keys
from streams.query.topic_follower import Follower
from topics.reader import follow, offsets

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from topics.kafka import KafkaConfig
    from topics.names import Names
    from topics.reader import Position, RawRecord


class RunChanges:
    """Follows the journal of a pool from the first watcher on, until `end`."""

    def __init__(self, config: KafkaConfig, names: Names) -> None:
        self._config = config
        self._names = names
        self._followers: dict[str, Follower[RawRecord]] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def watch(self, pool: str, run_id: str) -> Iterator[asyncio.Event]:
        """Return an event that is set whenever the run's journal grew."""
        self._follow(pool)
        news = asyncio.Event()
        self._watchers.setdefault(run_id, set()).add(news)
        try:
            yield news
        finally:
            watchers = self._watchers[run_id]
            watchers.discard(news)
            if not watchers:
                del self._watchers[run_id]

    def end(self) -> None:
        """Stop following; blocking for a second or so."""
        for follower in self._followers.values():
            follower.end()

    def _follow(self, pool: str) -> None:
        if pool not in self._followers:
            self._loop = asyncio.get_running_loop()
            self._followers[pool] = Follower(
                self._config, self._names.journal(pool), self._take_record, read=self._from_now, start="latest"
            )
            self._followers[pool].begin()

    def _from_now(
        self, config: KafkaConfig, topic: str, *, start: Position, stop: threading.Event, lazy: bool
    ) -> Iterator[RawRecord]:
        """Follow from the end as it is now; who watched before that looks once more, for what came meanwhile."""
        begin = offsets(config, topic, start)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)
        yield from follow(config, topic, start=begin, stop=stop, lazy=lazy)

    def _take_record(self, record: RawRecord) -> None:
        """Wake the watchers of a record's run; called in the follower's thread."""
        key = record.key or b""
        if not key.startswith(store_keys.RUN):
            return
        run_id = key[len(store_keys.RUN) :].partition(b"/")[0].decode("utf-8", "replace")
        loop = self._loop
        if run_id in self._watchers and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, run_id)

    def _wake_all(self) -> None:
        for run_id in self._watchers:
            self._wake(run_id)

    def _wake(self, run_id: str) -> None:
        for news in self._watchers.get(run_id, ()):
            news.set()
