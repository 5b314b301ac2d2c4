"""What a consumer fetches: positions of the assigned partitions, long polls, ends of partitions, resets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, Message

from tests.simulation.kafka.broker_api import EARLIEST, LATEST, BrokerApi, FetchAnswer
from tests.simulation.kafka.client import Client
from tests.simulation.kafka.errors import RefusedError, kafka_error
from tests.simulation.kafka.links import Unanswered
from tests.simulation.kafka.partition_log import LogRecord

Partition = tuple[str, int]

UNKNOWN: Final = -1001  # an offset that is not known, as the library writes it
_STORED: Final = -1000
_BEGIN_S: Final = 0.001  # the library begins to fetch in a thread of its own
_AGAIN_S: Final = 0.1


@dataclass(slots=True)
class FetchPosition:
    """Where a consumer is in one partition."""

    place: Partition
    start: int  # an offset, or one of the library's names for one
    version: int = 0  # what was fetched for an earlier one is dropped
    active: bool = False  # its start is known, so it is being fetched
    paused: bool = False
    begun: int = UNKNOWN  # the first offset that was to be fetched
    fetched: int = UNKNOWN  # the next to fetch
    consumed: int = UNKNOWN  # the next for the application
    ended_at: int = UNKNOWN  # the end of the partition that the application was told last
    low: int = UNKNOWN
    high: int = UNKNOWN
    queued_bytes: int = 0


class Fetcher:
    """Fetches for one consumer into one queue."""

    def __init__(self, client: Client, committed: Callable[[list[Partition], Callable[[Any], None]], Any]) -> None:
        """Fetch for `client`; `committed` asks for the offsets of its group."""
        self._client = client
        self._waiter = client._waiter
        self._committed = committed
        self._stable = str(client._config.get("isolation.level", "read_committed")) == "read_committed"
        self._wait_s = client._ms("fetch.wait.max.ms", 500) / 1000
        self._least_bytes = int(client._ms("fetch.min.bytes", 1))
        self._most_bytes = int(client._ms("fetch.message.max.bytes", 1_048_576))
        self._room = int(client._ms("queued.max.messages.kbytes", 65_536)) * 1024
        self._room_messages = int(client._ms("queued.min.messages", 100_000))
        self._full_s = client._ms("fetch.queue.backoff.ms", 1000) / 1000
        self._reports_ends = client._flag("enable.partition.eof", default=False)
        self._reset = str(client._config.get("auto.offset.reset", "largest"))
        self.positions: dict[Partition, FetchPosition] = {}
        self._queue: deque[tuple[FetchPosition, int, Message, int]] = deque()
        self._queued_bytes = 0
        self._full = False
        self._fetching: set[int] = set()  # brokers that a fetch is under way to

    # -- positions

    def add(self, places: dict[Partition, int]) -> None:
        """Begin to fetch partitions at offsets."""
        for place, start in places.items():
            position = FetchPosition(place, start)
            self.positions[place] = position
            self._later(_BEGIN_S, partial(self._start, position, position.version))

    def remove(self, places: list[Partition]) -> None:
        """Fetch partitions no more, and drop what is queued of them."""
        for place in places:
            position = self.positions.pop(place, None)
            if position is not None:
                self._renew(position)

    def seek(self, place: Partition, offset: int) -> None:
        """Go on at another offset."""
        position = self.positions[place]
        self._renew(position)
        position.start, position.active, position.consumed = offset, False, UNKNOWN
        self._start(position, position.version)

    def pause(self, place: Partition) -> None:
        """Fetch no more for now; what is queued is dropped and fetched again later."""
        position = self.positions[place]
        if not position.paused:
            position.paused = True
            self._renew(position)
            if position.active:
                position.fetched = position.begun if position.consumed < 0 else position.consumed

    def resume(self, place: Partition) -> None:
        """Fetch on."""
        position = self.positions[place]
        position.paused = False
        self.go_on()

    def _renew(self, position: FetchPosition) -> None:
        position.version += 1
        position.ended_at = UNKNOWN
        if position.queued_bytes:
            self._queue = deque(entry for entry in self._queue if entry[0] is not position)
            self._queued_bytes -= position.queued_bytes
            position.queued_bytes = 0

    # -- the application

    def __len__(self) -> int:
        """Return how many messages are queued."""
        return len(self._queue)

    def take(self) -> Message | None:
        """Return the next message, None if there is none."""
        while self._queue:
            position, version, message, size = self._queue.popleft()
            self._queued_bytes -= size
            position.queued_bytes -= size
            if position.version == version:
                error = message.error()
                if error is None:
                    position.consumed = int(message.offset() or 0) + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    position.consumed = int(message.offset() or 0)
                return message
        return None

    # -- the start of a partition

    def _start(self, position: FetchPosition, version: int) -> None:
        if not self._is_current(position, version) or position.active:
            return
        if position.start >= 0:
            self._begin(position, position.start)
        elif position.start in (OFFSET_BEGINNING, OFFSET_END):
            self._look_up(position, EARLIEST if position.start == OFFSET_BEGINNING else LATEST)
        else:
            self._committed([position.place], lambda answer: self._stored(position, version, answer))

    def _stored(self, position: FetchPosition, version: int, answer: Any) -> None:
        if not self._is_current(position, version):
            return
        if not isinstance(answer, dict):
            self._later(_AGAIN_S, lambda: self._start(position, version))
            return
        found = answer.get(position.place)
        if found is None:
            self._reset_position(position)
        else:
            self._begin(position, found.offset)

    def _reset_position(self, position: FetchPosition) -> None:
        position.active = False
        if self._reset in ("smallest", "earliest", "beginning"):
            self._look_up(position, EARLIEST)
        elif self._reset == "error":
            self._tell(position, KafkaError._AUTO_OFFSET_RESET, position.fetched)
        else:
            self._look_up(position, LATEST)

    def _look_up(self, position: FetchPosition, timestamp: int) -> None:
        version, place, client = position.version, position.place, self._client
        exchange = client._exchange(
            "ListOffsets",
            lambda: client._leader(place),
            lambda api: api.list_offset(place, timestamp, committed=self._stable),
            timeout_s=60.0,
        )

        def settle(answer: Any) -> None:
            if not self._is_current(position, version):
                return
            if isinstance(answer, RefusedError):
                self._tell(position, answer.code, UNKNOWN)
            elif isinstance(answer, Unanswered):
                self._later(_AGAIN_S, lambda: self._look_up(position, timestamp))
            else:
                self._begin(position, answer[0])

        exchange.then(settle)

    def _begin(self, position: FetchPosition, offset: int) -> None:
        position.begun = position.fetched = offset
        position.active = True
        self.go_on()

    def _is_current(self, position: FetchPosition, version: int) -> bool:
        return self.positions.get(position.place) is position and position.version == version

    # -- fetching

    def go_on(self) -> None:
        """Send a fetch to each broker that leads what is to be fetched, unless one is under way."""
        if self._client._closed or not self.positions:
            return
        if self._queued_bytes >= self._room or len(self._queue) >= self._room_messages:
            if not self._full:
                self._full = True
                self._later(self._full_s, self._look_again)
            return
        for broker, positions in self._by_leader().items():
            if broker not in self._fetching:
                self._fetch(broker, positions)

    def _by_leader(self) -> dict[int, dict[Partition, FetchPosition]]:
        """Return what is to be fetched by the brokers that lead it."""
        found: dict[int, dict[Partition, FetchPosition]] = {}
        for place, position in self.positions.items():
            leader = self._client._leader(place) if position.active and not position.paused else None
            if leader is not None:
                found.setdefault(leader, {})[place] = position
        return found

    def _look_again(self) -> None:
        self._full = False
        self.go_on()

    def _fetch(self, broker: int, positions: dict[Partition, FetchPosition]) -> None:
        self._fetching.add(broker)
        versions = {place: position.version for place, position in positions.items()}
        offsets = {place: position.fetched for place, position in positions.items()}

        def settle(answer: Any) -> None:
            self._fetching.discard(broker)
            if isinstance(answer, dict):
                for place, found in answer.items():
                    if self._is_current(positions[place], versions[place]):
                        self._fetched(positions[place], found)
                self.go_on()
            else:
                self._client._stale()
                self._later(_AGAIN_S, self.go_on)

        self._client._links.send(
            broker, "Fetch", self._long_poll(offsets), settle, self._client._ms("socket.timeout.ms", 60_000) / 1000
        )

    def _long_poll(self, offsets: dict[Partition, int]) -> Callable[[BrokerApi, Callable[[Any], None]], None]:
        """Answer when there is enough, when something is wrong, or when the wait is over."""

        def handle(api: BrokerApi, reply: Callable[[Any], None]) -> None:
            places, answered = list(offsets), False

            def attempt(*, final: bool = False) -> None:
                nonlocal answered
                if answered:
                    return
                found = api.fetch(offsets, committed=self._stable, max_bytes=self._most_bytes)
                size = sum(record.size() for one in found.values() for _, record in one.records)
                moved = any(one.following > offsets[place] for place, one in found.items())
                refused = any(one.refusal is not None for one in found.values())
                if final or refused or (moved and (size >= self._least_bytes or not size)):
                    answered = True
                    api.wait_no_more(places, attempt)
                    reply(found)
                else:
                    api.wait_for_records(places, attempt)

            attempt()
            if not answered:
                api.later(self._wait_s, lambda: attempt(final=True))

        return handle

    def _fetched(self, position: FetchPosition, answer: FetchAnswer) -> None:
        if answer.refusal is not None:
            self._refused(position, answer.refusal)
            return
        position.low, position.high = answer.start, answer.high_watermark
        end = answer.stable_end if self._stable else answer.high_watermark
        if answer.following > position.fetched:
            for offset, record in answer.records:
                self._enqueue(position, _message(position.place, offset, record), record.size())
            position.fetched = answer.following
        elif self._reports_ends and position.fetched >= end and position.ended_at != position.fetched:
            position.ended_at = position.fetched
            self._tell(position, KafkaError._PARTITION_EOF, position.fetched)

    def _refused(self, position: FetchPosition, code: int) -> None:
        if code == KafkaError.OFFSET_OUT_OF_RANGE:
            self._reset_position(position)
        else:  # also of a topic that was deleted: the application hears nothing of it
            self._client._stale(position.place[0])

    def _tell(self, position: FetchPosition, code: int, offset: int) -> None:
        topic, partition = position.place
        self._enqueue(position, Message(topic=topic, partition=partition, offset=offset, error=kafka_error(code)), 1)

    def _enqueue(self, position: FetchPosition, message: Message, size: int) -> None:
        self._queue.append((position, position.version, message, size))
        position.queued_bytes += size
        self._queued_bytes += size

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._waiter.schedule(self._waiter.now() + seconds, lambda: None if self._client._closed else action())


def _message(place: Partition, offset: int, record: LogRecord) -> Message:
    return Message(
        topic=place[0],
        partition=place[1],
        offset=offset,
        key=record.key,
        value=record.value,
        headers=list(record.headers) or None,
        timestamp=(1, record.timestamp),
    )
