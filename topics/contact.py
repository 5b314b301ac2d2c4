"""Distinguishes a client that has lost its cluster for good from a cluster that does not answer.

librdkafka lets go of a broker that a Metadata answer does not name. A lone broker that was fenced names none for a
moment. The client should then begin anew with its bootstrap servers (KIP-1102), but in librdkafka 2.16 the end of the
same answer stops the timer that would do so, and the flag that it is under way stays set (`rd_kafka_rebootstrap` and
`rd_kafka_rebootstrap_tmr_stop`; see https://github.com/confluentinc/librdkafka/issues/5301). Such a client knows no
broker, asks nobody and never recovers. It reports once that all brokers are down, as it does in any outage.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

_ANSWER_S: Final = 0.5
_OTHER_ANSWER_S: Final = 1.0  # a new client has to connect first
#: Looks in a row. Together they last longer than the longest pause between two attempts to connect, which is a second.
_LOOKS: Final = 4
#: The same where a new client finds several brokers: this one may try those that are down first, and all of them have
#: to be fenced before an answer names none.
_LOOKS_OF_MANY: Final = 16
_SEVERE: Final = 2


class KafkaClient(Protocol):
    """What is asked of a client: all of librdkafka's can answer it."""

    def list_topics(self, topic: str, timeout: float) -> object:
        """Return the metadata of a topic; raises KafkaException when no broker answers within ``timeout`` seconds."""


class Contact:
    """Watches one client. ``noted`` may be called in any thread, ``lost`` in one at a time."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Ask with another client of the same ``settings`` whether the cluster answers."""
        self._settings = settings | {"log_level": _SEVERE}
        self.failed = 0  # looks in a row in which only other clients were answered
        self.suspect = False

    def noted(self, error: KafkaError) -> None:
        """Take an error of the client's error callback."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 the library's name
            self.suspect = True

    def callback(self, other: Callable[[KafkaError], None]) -> Callable[[KafkaError], None]:
        """Return an error callback for the client: this object and `other` take the error."""

        def note(error: KafkaError) -> None:
            self.noted(error)
            other(error)

        return note

    def lost(self, client: KafkaClient, topic: str) -> bool:
        """Return whether the client has lost its cluster; blocks for half a second, 1.5 s while the cluster is away.

        True after several calls in a row in which a new client was answered and this one was not: four, or sixteen in
        a cluster of more than one broker. A client that is answered is no suspect any more. Call it about twice a
        second while ``suspect`` is set.
        """
        self.suspect = False  # an error that is noted from here on is one for the next look: an answer may cause it
        try:
            client.list_topics(topic, timeout=_ANSWER_S)
        except KafkaException:
            self.suspect = True
            brokers = self._brokers(topic)
            self.failed = self.failed + 1 if brokers else 0
            return self.failed >= (_LOOKS if brokers == 1 else _LOOKS_OF_MANY)
        self.failed = 0
        return False

    def _brokers(self, topic: str) -> int:
        """Return how many brokers a new client finds, 0 if it is not answered."""
        try:
            return len(AdminClient(self._settings, logger=None).list_topics(topic, timeout=_OTHER_ANSWER_S).brokers)
        except KafkaException:
            return 0
