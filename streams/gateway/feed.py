"""One follower of a topic for all of a gateway's readers of it: the newest records, decoded and written out once."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.gateway.deps import History

log = logging.getLogger(__name__)

CAPACITY: Final = 2_000
"""Newest records that stay in memory; a reader further behind reads them from the log."""

_QUEUE_SIZE: Final = 500  # records that were read and not yet taken over; then the log is read no further
_LOOK_S: Final = 0.5


class FeedRecord(NamedTuple):
    """A record that came, with its JSON text."""

    partition: int
    offset: int
    type: str | None
    key: str | None
    text: bytes


class Feed:
    """The end of a topic, from `start` on; only the event loop looks at it, the thread hands records over."""

    def __init__(self, history: History, topic: str, start: Mapping[int, int]) -> None:
        self.floor = dict(start)  # the first offset of each partition from which all records are here
        self.next = dict(start)
        self.ended = False  # the topic is gone; readers may try again later
        self.readers: set[asyncio.Event] = set()
        self._history = history
        self._topic = topic
        self._start = dict(start)
        self._records: deque[FeedRecord] = deque()
        self._first = 0  # how many records came before those in memory
        self._came: queue.Queue[FeedRecord] = queue.Queue(_QUEUE_SIZE)
        self._stop = threading.Event()
        self._notified = False
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=f"stream {topic}", daemon=True).start()

    @property
    def oldest(self) -> int:
        """Return how many records came before those in memory."""
        return self._first

    def covers(self, offsets: Mapping[int, int]) -> bool:
        """Return whether nothing is missing here for a reader at these offsets."""
        return all(offsets.get(partition, 0) >= low for partition, low in self.floor.items())

    def after(self, count: int, limit: int) -> list[FeedRecord] | None:
        """Return records that came after so many; None for a reader so slow that some of them have left memory."""
        if count < self._first:
            return None
        return list(islice(self._records, count - self._first, count - self._first + limit))

    def close(self) -> None:
        """Stop following; also seen by the thread in half a second."""
        self._stop.set()

    def _run(self) -> None:
        try:
            for record in self._history.follow(self._topic, self._start, stop=self._stop):
                if not self._put(news_of(record)):
                    return
        except TopicError as error:
            log.warning("the stream of %s ends: %s", self._topic, error)
        finally:
            self._stop.set()
            self._notify()

    def _put(self, news: FeedRecord) -> bool:
        """Wait for room; False when nobody reads any more."""
        while not self._stop.is_set():
            try:
                self._came.put(news, timeout=_LOOK_S)
            except queue.Full:
                continue
            self._notify()
            return True
        return False

    def _notify(self) -> None:
        if not self._notified and not self._loop.is_closed():
            self._notified = True
            self._loop.call_soon_threadsafe(self._take_over)

    def _take_over(self) -> None:
        """Take over what came, and wake the readers."""
        self._notified = False  # before looking: what comes from now on notifies again
        for _ in range(self._came.qsize()):
            news = self._came.get_nowait()
            self._records.append(news)
            self.next[news.partition] = news.offset + 1
            if len(self._records) > CAPACITY:
                gone = self._records.popleft()
                self._first += 1
                self.floor[gone.partition] = gone.offset + 1
        self.ended = self._stop.is_set()
        for reader in self.readers:
            reader.set()


class Feeds:
    """The feeds of a gateway, each for as long as somebody reads it."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    def get(self, topic: str) -> Feed | None:
        """Return the feed of a topic if it is there and goes on."""
        feed = self._feeds.get(topic)
        return None if feed is None or feed.ended else feed

    @contextmanager
    def reading(self, history: History, topic: str, start: Mapping[int, int], reader: asyncio.Event) -> Iterator[Feed]:
        """Return the feed of a topic, which sets `reader` at news; one that begins now begins at `start`."""
        feed = self.get(topic)
        if feed is None:
            feed = self._feeds[topic] = Feed(history, topic, start)
        feed.readers.add(reader)
        try:
            yield feed
        finally:
            feed.readers.discard(reader)
            if not feed.readers:
                feed.close()
                if self._feeds.get(topic) is feed:
                    del self._feeds[topic]


def news_of(record: dict[str, Any]) -> FeedRecord:
    """Return a record as it is sent."""
    return FeedRecord(record["partition"], record["offset"], record["type"], record.get("key"), orjson.dumps(record))
