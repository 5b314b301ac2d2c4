"""`GET /topics/{name}/events` as server-sent events: a topic as it grows, resumable, at the pace of its reader.

All readers of a topic's end share one follower. Who is behind it reads pages from the log, no more than it has taken.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.gateway.feed import Feed, FeedRecord, Feeds, news_of
from streams.gateway.problem import Problem
from streams.gateway.sse import ALIVE_S, Streams, event_of, last_event_id, place, stream, within
from streams.gateway.submit import wrong

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.responses import Response

    from streams.gateway.deps import History
    from streams.gateway.operation import OperationCall
    from streams.gateway.threads import GatewayThreads

AHEAD: Final = 200
"""Records that are read before the reader has taken them; then the log is read no further until it has."""

_VECTOR: Final = re.compile(r"\d{1,5}:\d{1,18}(,\d{1,5}:\d{1,18})*")


class _Wish(NamedTuple):
    """What of a topic a reader wants, and how many events."""

    topic: str
    key: str | None
    type: str | None
    limit: int | None

    def takes(self, news: FeedRecord) -> bool:
        return self.type in (None, news.type) and self.key in (None, news.key)


class TopicEvents:
    """Streams topics. An event's id names the next offset of every partition, so a reader can go on anywhere."""

    def __init__(self, threads: GatewayThreads, streams: Streams) -> None:
        self._threads = threads
        self._streams = streams
        self._feeds = Feeds()

    async def __call__(self, call: OperationCall, history: History, topic: str, limit: int | None) -> Response:
        """Answer with the stream from `Last-Event-ID`, else `from`, else what comes from now on."""
        query = call.query_params
        if "to" in query:
            raise wrong("to", "a stream has no end; leave it out")
        self._streams.check()
        where: str | Mapping[int, int] = query.get("from", "latest")
        if last := last_event_id(call):
            where = _offsets(last)
        feed = self._feeds.get(topic)
        end = await self._threads.run(lambda: history.start(topic, "latest"), call) if feed is None else dict(feed.next)
        start = end if where == "latest" else await self._threads.run(lambda: history.start(topic, where), call)
        wish = _Wish(topic, query.get("key"), query.get("type"), limit)
        return stream(call, self._events(call, history, wish, start, end))

    async def _events(
        self, call: OperationCall, history: History, wish: _Wish, offsets: dict[int, int], end: dict[int, int]
    ) -> AsyncGenerator[bytes, None]:
        """Send what a reader at `offsets` wants; a feed that begins now begins at `end`."""
        woken = asyncio.Event()
        with self._streams.open(woken), self._feeds.reading(history, wish.topic, end, woken) as feed:
            yield place(_vector(offsets))
            reader = _TopicEventReader(self._threads, call, history, wish, feed, offsets)
            while not self._streams.closed and not reader.done:
                woken.clear()
                if said := await reader.step():
                    yield said
                elif reader.moved:
                    continue
                elif feed.ended:
                    return
                elif not await within(woken, ALIVE_S):
                    yield place(_vector(offsets))


class _TopicEventReader:
    """One reader of a topic: at the feed's pace, or behind it, a page of the log at a time."""

    def __init__(
        self,
        threads: GatewayThreads,
        call: OperationCall,
        history: History,
        wish: _Wish,
        feed: Feed,
        offsets: dict[int, int],
    ) -> None:
        self._threads = threads
        self._call = call
        self._history = history
        self._wish = wish
        self._feed = feed
        self._offsets = offsets
        self._seen: int | None = None  # how many of the feed's records; None while behind what it keeps
        self._left = wish.limit
        self.moved = False  # whether the last step came further, with or without something to send

    @property
    def done(self) -> bool:
        """Whether it has all that it wished for."""
        return self._left == 0

    async def step(self) -> bytes:
        """Go on a little and return what is to be sent."""
        if self._seen is None and self._feed.covers(self._offsets):
            self._seen = self._feed.oldest
        came = None if self._seen is None else self._feed.after(self._seen, AHEAD)
        if came is None or self._seen is None:
            self._seen = None
            return await self._page(dict(self._feed.next))
        self._seen += len(came)
        self.moved = bool(came)
        return self._said(came)

    async def _page(self, end: dict[int, int]) -> bytes:
        """Read on from the log, at most up to an end; nothing comes while no broker answers."""

        def read() -> list[FeedRecord]:
            found = self._history.between(self._wish.topic, start, end, key=self._wish.key, limit=AHEAD)
            return [news_of(one) for one in found]

        start = dict(self._offsets)
        self.moved = False
        try:
            came = await self._threads.run(read, self._call)
        except Problem:
            return b""
        self.moved = True
        said = self._said(came)
        if len(came) < AHEAD and not self.done:  # what is left before the end are markers, or records of other keys
            self._offsets.update({number: max(self._offsets.get(number, 0), offset) for number, offset in end.items()})
        return said

    def _said(self, came: list[FeedRecord]) -> bytes:
        """Return what is sent of records that came, moving the offsets on."""
        said = []
        for news in came:
            if news.offset < self._offsets.get(news.partition, 0):
                continue  # the feed keeps older ones than this reader lacks
            self._offsets[news.partition] = news.offset + 1
            if self._wish.takes(news):
                said.append(event_of(news.text, id=_vector(self._offsets)))
                self._left = None if self._left is None else self._left - 1
                if self._left == 0:
                    break
        return b"".join(said)


def _offsets(text: str) -> dict[int, int]:
    if _VECTOR.fullmatch(text) is None:
        raise wrong("Last-Event-ID", "it must be the id of an event of this stream")
    pairs = (item.split(":") for item in text.split(","))
    return {int(partition): int(offset) for partition, offset in pairs}


def _vector(offsets: Mapping[int, int]) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
