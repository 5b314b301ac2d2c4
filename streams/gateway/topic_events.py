"""`GET /topics/{name}/events` as server-sent events: a topic as it grows, resumable, at the pace of its reader."""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from streams.gateway.sse import ALIVE_S, Streams, event, last_event_id, place, stream, within
from streams.gateway.submit import wrong
from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.responses import Response

    from streams.gateway.deps import History
    from streams.gateway.operation import Call
    from streams.gateway.threads import Threads

log = logging.getLogger(__name__)

AHEAD: Final = 200
"""Records that are read before the reader has taken them; then the log is read no further until it has."""

_LOOK_S: Final = 0.5
_VECTOR: Final = re.compile(r"\d{1,5}:\d{1,18}(,\d{1,5}:\d{1,18})*")


class TopicEvents:
    """Streams topics. An event's id names the next offset of every partition, so a reader can go on anywhere."""

    def __init__(self, threads: Threads, streams: Streams) -> None:
        self._threads = threads
        self._streams = streams

    async def __call__(self, call: Call, history: History, topic: str, limit: int | None) -> Response:
        """Answer with the stream from `Last-Event-ID`, else `from`, else what comes from now on."""
        query = call.query_params
        if "to" in query:
            raise wrong("to", "a stream has no end; leave it out")
        self._streams.check()
        where: str | Mapping[int, int] = query.get("from", "latest")
        if last := last_event_id(call):
            where = _offsets(last)
        start = await self._threads.run(lambda: history.start(topic, where))
        ahead = Ahead(history, topic, start, query.get("key"))
        return stream(call, self._events(ahead, start, query.get("type"), limit))

    async def _events(
        self, ahead: Ahead, offsets: dict[int, int], event_type: str | None, limit: int | None
    ) -> AsyncGenerator[bytes, None]:
        sent = 0
        with self._streams.open(ahead.news), ahead:
            yield place(_vector(offsets))
            while not self._streams.closed:
                for record in ahead.taken():
                    offsets[record["partition"]] = record["offset"] + 1
                    if event_type is not None and record["type"] != event_type:
                        continue
                    yield event(record, id=_vector(offsets))
                    sent += 1
                    if sent == limit:
                        return
                if ahead.ended:
                    return
                if not await within(ahead.news, ALIVE_S):
                    yield place(_vector(offsets))


class Ahead:
    """A thread that reads the log at most AHEAD records further than the stream has sent."""

    def __init__(self, history: History, topic: str, start: Mapping[int, int], key: str | None) -> None:
        self._history = history
        self._topic = topic
        self._start = dict(start)
        self._key = key
        self._records: queue.Queue[dict[str, Any]] = queue.Queue(AHEAD)
        self._stop = threading.Event()
        self._thread_ended = False
        self._loop = asyncio.get_running_loop()
        self.news = asyncio.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._run, name=f"stream {self._topic}", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    @property
    def ended(self) -> bool:
        """Return whether nothing more comes: the topic is gone, and the reader may try again later."""
        return self._thread_ended and self._records.empty()

    def taken(self) -> list[dict[str, Any]]:
        """Return what was read, and make room for more."""
        self.news.clear()
        found: list[dict[str, Any]] = []
        while len(found) < AHEAD:
            try:
                found.append(self._records.get_nowait())
            except queue.Empty:
                break
        if found and not self._records.empty():
            self.news.set()
        return found

    def _run(self) -> None:
        try:
            for record in self._history.follow(self._topic, self._start, key=self._key, stop=self._stop):
                if not self._put(record):
                    return
        except TopicError as error:
            log.warning("the stream of %s ends: %s", self._topic, error)
        finally:
            self._thread_ended = True
            self._tell()

    def _put(self, record: dict[str, Any]) -> bool:
        """Wait for room; False when the stream has ended meanwhile."""
        while not self._stop.is_set():
            try:
                self._records.put(record, timeout=_LOOK_S)
            except queue.Full:
                continue
            self._tell()
            return True
        return False

    def _tell(self) -> None:
        if not self.news.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.news.set)


def _offsets(text: str) -> dict[int, int]:
    if _VECTOR.fullmatch(text) is None:
        raise wrong("Last-Event-ID", "it must be the id of an event of this stream")
    pairs = (item.split(":") for item in text.split(","))
    return {int(partition): int(offset) for partition, offset in pairs}


def _vector(offsets: Mapping[int, int]) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
