"""Whether the cluster answers this process: logged once when it stops and once when it is back, for all clients.

The library reports each failed attempt of each connection of each client, which is hundreds of lines in a short outage.
"""

import logging
import threading
from collections.abc import Callable

from confluent_kafka import KafkaError

from topics.refusals import refusal, suspicion

_LOG = logging.getLogger(__name__)


class Reach:
    """What the clients of one process know together; may be used from any thread."""

    def __init__(self, address: str = "the cluster", now: Callable[[], float] = lambda: 0.0) -> None:
        """Watch the cluster at ``address``; ``now`` gives seconds of a clock that never goes back, for log lines."""
        self._address = address
        self._now = now
        self._since: float | None = None
        self._refusal: str | None = None
        self._suspicion: str | None = None
        self._lock = threading.Lock()

    @property
    def refusal(self) -> str | None:
        """Why the cluster refuses this process's connections, where waiting cannot mend it; None while it does not."""
        return self._refusal

    @property
    def explanation(self) -> str | None:
        """The best explanation of a silence that this process has: a refusal, or what looks like a wrong protocol."""
        return self._refusal or self._suspicion

    def failed(self, error: KafkaError) -> None:
        """Take an error of a client: a refused connection, or that no broker can be reached."""
        found = refusal(error)
        with self._lock:
            self._suspicion = suspicion(error) or self._suspicion
            if found is not None:
                self._refused(found)
                return
            if error.code() != KafkaError._ALL_BROKERS_DOWN or self._since is not None:  # noqa: SLF001 the library's name
                return
            self._since = self._now()
        _LOG.warning("no broker of %s answers: waiting for it, from now on in silence", self._address)

    def answered(self) -> None:
        """Note that a broker has taken or given a record."""
        if self._since is None and self._refusal is None and self._suspicion is None:
            return
        with self._lock:
            since, self._since = self._since, None
            self._refusal = self._suspicion = None
        if since is not None:
            _LOG.warning("the broker of %s is back after %.0f s", self._address, self._now() - since)

    def _refused(self, found: str) -> None:
        if self._refusal is None:
            _LOG.error("%s refuses this process: %s", self._address, found)
        self._refusal = found
