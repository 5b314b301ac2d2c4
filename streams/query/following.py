"""Follows a topic in a thread, over outages, until it is stopped."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from topics.kafka import KafkaConfig
    from topics.reader import Position

log = logging.getLogger(__name__)

_AGAIN: Final = 1.0
"""Seconds between attempts to begin, while no broker answers or the topic is not there yet."""


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
        start: Position = "earliest",
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
                for found in self._read(self._config, self._topic, start=self._start, stop=self._stop, lazy=self._lazy):
                    self._take(found)
            except TopicError as error:
                log.warning("cannot follow %s yet: %s", self._topic, error)
            self._stop.wait(_AGAIN)
