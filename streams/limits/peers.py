"""Who the other workers are and how to reach them: their heartbeats, and one HTTP client for what limits need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from schemas.errors import SchemaError
from schemas.worker import WorkerHeartbeat
from streams import clock
from streams.query.placement import Placement, Presence
from streams.query.topic_follower import Follower, heartbeats
from streams.runtime.errors import WorkerError
from topics.partition import partition_of

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.limits.holders import Holder
    from streams.query.wire import Wire, WorkerResponse
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.runtime import Runtime
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord

log = logging.getLogger(__name__)

SETTLED_S: Final = 2.0  # every live worker sends a heartbeat in that time: one a second


class HomeAwayError(WorkerError):
    """Raised when the home of a limit cannot answer at the moment: it moves, or no worker of its pool runs."""


class Peers:
    """The workers by their heartbeats; routes the name of a limit to its home."""

    def __init__(self, runtime: Runtime, holder: Holder, codec: Codec, wire: Wire) -> None:
        """Be the process `holder`; others are asked over `wire`."""
        self._runtime = runtime
        self._pool = holder.pool
        self._codec = codec
        self._placement = Placement()
        self._wire = wire
        self._follower: Follower[RawRecord] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = clock.monotonic()
        self._ended = False
        self.holder = holder
        self.id = holder.worker_id
        self.url = ""
        self._on_news: Sequence[Callable[[], None]] = ()

    def begin(self, kafka: KafkaConfig, topic: str, url: str, on_news: Sequence[Callable[[], None]] = ()) -> None:
        """Follow the heartbeats; this worker itself is reached at `url`.

        Each of `on_news` is called when a worker came, went or owns something else now.
        """
        self._on_news = on_news
        self.url = url.rstrip("/")
        self._loop = asyncio.get_running_loop()
        self._began = clock.monotonic()
        self._follower = heartbeats(kafka, topic, self._read)
        self._follower.begin()

    async def end(self) -> None:
        """Follow no more, and ask nobody."""
        self._ended = True
        if self._follower is not None:
            await asyncio.to_thread(self._follower.end)
        await self._wire.aclose()

    def take(self, worker_id: str, beat: WorkerHeartbeat | None) -> None:
        """Take in a heartbeat, or the news that a worker is forgotten."""
        if self._placement.apply(worker_id, beat, clock.now_ms()):
            for hook in self._on_news:
                hook()

    def others(self) -> list[str]:
        """Return the URLs of all other live workers, of whatever pool."""
        now = clock.now_ms()
        found = {url for pool in self._placement.pools(now) for url in self._placement.urls(pool, now)}
        return sorted(found - {self.url})

    def members(self) -> dict[str, frozenset[int]]:
        """Return the live workers of this one's pool by id, with the partitions that each owns."""
        return self._placement.members(self._pool, clock.now_ms())

    def presence(self, holder: Holder) -> Presence:
        """Return what heartbeats report of a process that holds something here."""
        return self._placement.presence(holder.worker_id, holder.started_ms, clock.now_ms())

    def settled(self) -> bool:
        """Return whether every live worker has sent a heartbeat since this one follows them."""
        return clock.monotonic() - self._began > SETTLED_S

    def here(self, pool: str, limit: str) -> PartitionAssignment | None:
        """Return the assignment that is the home of a limit of `pool`, if it is owned here and may answer."""
        if self._ended or pool != self._pool or not self._runtime.opened.is_set():
            return None
        owned = self._runtime.assignments.get(self._partition(limit))
        return owned if owned is not None and owned.live and owned.ready else None

    def place(self, pool: str, limit: str) -> str | None:
        """Return the URL of a limit's home, this worker's own included; None while nobody has it."""
        if self.here(pool, limit) is not None:
            return self.url
        if not self._runtime.opened.is_set():
            return None
        url = self._placement.owner(pool, self._partition(limit), clock.now_ms())
        return None if url == self.url else url

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        """Return a worker's answer, None when there is none within `seconds` or this worker leaves."""
        return None if self._ended else await self._wire.get(url, seconds)

    async def post(self, url: str, path: str, body: Any, seconds: float) -> Any:
        """Return a worker's answer; raises HomeAwayError when it gives none in time or is not the home any more."""
        if self._ended:
            raise HomeAwayError("this worker leaves")
        response = await self._wire.post(url + path, orjson.dumps(body), seconds)
        if response is None:
            raise HomeAwayError(f"{url} does not answer within {seconds:g} s")
        if response.status != 200:
            raise HomeAwayError(f"{url} answers {response.status}")
        return orjson.loads(response.body)

    def _partition(self, limit: str) -> int:
        return partition_of(limit.encode(), self._runtime.partitions)

    def _read(self, record: RawRecord) -> None:
        """Decode in the follower's thread, count in the loop."""
        worker_id = (record.key or b"").decode("utf-8", "replace")
        try:
            beat = None if record.value is None else self._codec.decode(record.value, WorkerHeartbeat)
        except SchemaError as error:
            log.debug("a heartbeat of %s cannot be read: %s", worker_id, error)
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, worker_id, beat)
