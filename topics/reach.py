"""Whether the cluster answers this process: said once when it stops and once when it is back, for all clients together.

The library tells each failed attempt of each connection of each client, which is hundreds of lines in a short outage.
"""

import logging
import threading
from collections.abc import Callable

from confluent_kafka import KafkaError

_LOG = logging.getLogger(__name__)


class Reach:
    """What the clients of one process know together; may be told from any thread."""

    def __init__(self, address: str, now: Callable[[], float]) -> None:
        """Watch the cluster at ``address``; ``now`` gives seconds of a clock that never goes back."""
        self._address = address
        self._now = now
        self._since: float | None = None
        self._lock = threading.Lock()

    def failed(self, error: KafkaError) -> None:
        """Take an error of a client; only that no broker can be reached matters here."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 the library's name
            return
        with self._lock:
            if self._since is not None:
                return
            self._since = self._now()
        _LOG.warning("no broker of %s answers: waiting for it, from now on in silence", self._address)

    def answered(self) -> None:
        """Note that a broker has taken or given a record."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            _LOG.warning("the broker of %s is back after %.0f s", self._address, self._now() - since)
