"""Follows a topic in a thread, over outages, until it is stopped."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from streams.clock import now_ms
from topics.errors import TopicError
from topics.reader import Time, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from topics.kafka import KafkaConfig
    from topics.reader import Position, RawRecord

log = logging.getLogger(__name__)

_AGAIN: Final = 1.0
"""Seconds between attempts to begin, while no broker answers or the topic is not there yet."""


_RECENT_MS: Final = 15_000
"""How far back heartbeats are read: a worker beats every second, and older ones say nothing of who is alive."""

_QUIET_S: Final = 10.0
"""Seconds without any heartbeat after which the topic is read by a new client, in case this one has lost the broker."""

T = TypeVar("T")


class Follower(Generic[T]):
    """One thread on one topic; `take` is called in it for what `read` yields, in the order of each partition."""

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        take: Callable[[T], None],
        *,
        read: Callable[..., Iterator[T]],
        start: Position | Callable[[], Position] = "earliest",
        lazy: bool = False,
    ) -> None:
        self._config = config
        self._topic = topic
        self._take = take
        self._read = read
        self._start = start
        self._lazy = lazy
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"follow {self._topic}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the thread and wait for it, at most a second or so."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                start = self._start() if callable(self._start) else self._start
                for found in self._read(self._config, self._topic, start=start, stop=self._stop, lazy=self._lazy):
                    self._take(found)
            except TopicError as error:
                log.warning("cannot follow %s yet: %s", self._topic, error)
            except Exception:  # the thread must not end in silence: what it follows would be stale for good
                log.exception("following %s failed and begins anew", self._topic)
            self._stop.wait(_AGAIN)


def heartbeats(config: KafkaConfig, topic: str, take: Callable[[RawRecord], None]) -> Follower[RawRecord]:
    """Return a follower of the workers' heartbeats from the last seconds on, not of all that were ever written."""

    def read(*given: Any, **named: Any) -> Iterator[RawRecord]:
        return follow(*given, quiet=_QUIET_S, **named)

    return Follower(config, topic, take, read=read, start=lambda: Time(now_ms() - _RECENT_MS), lazy=True)
