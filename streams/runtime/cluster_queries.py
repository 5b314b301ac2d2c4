"""Questions that the cluster must answer: each try is short and by a new handle, so that none hangs on a dead one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams import clock
from streams.runtime import client_config
from streams.runtime.errors import ClusterUnfitError, RestoreError
from topics.refusals import missing_right, refusal

log = logging.getLogger(__name__)


T = TypeVar("T")

PATIENCE_S: Final = 60.0  # then the process ends and its supervisor starts another
_FIRST_PAUSE_S: Final = 0.1  # doubled with each try: a broker that loads its groups refuses at once
_LAST_PAUSE_S: Final = 2.0


class RetryPauses:
    """The pauses between tries, each twice as long as the last, within a time limit in seconds."""

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self._end = clock.monotonic() + seconds
        self._next = _FIRST_PAUSE_S

    def over(self) -> bool:
        """Pause before the next try; return whether the time is up instead. Blocks."""
        if clock.monotonic() >= self._end:
            return True
        _wait(self._next)
        self._next = min(2 * self._next, _LAST_PAUSE_S)
        return False


def answered(client: client_config.Config, ask: Callable[[AdminClient], T]) -> T:
    """Return the answer of `ask`, tried again while the broker is silent or loading; blocks.

    Raises KafkaException for a topic that does not exist, ClusterUnfitError for a connection or a request that the
    broker refuses (credentials, TLS, ACLs), RestoreError after a minute.
    """
    pauses = RetryPauses(PATIENCE_S)
    while True:
        refusals: list[str] = []
        settings = client_config.quiet(client) | {"error_cb": partial(_note, refusals)}
        admin = AdminClient(settings, logger=None)
        try:
            return ask(admin)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            refused = missing_right(reason)
            if refused is not None:
                raise ClusterUnfitError(refused) from error
            why = reason.str()
        except TimeoutError:
            why = "no answer in time"
        admin.poll(0)  # serves the callback that reports a refused connection
        if refusals:
            raise ClusterUnfitError(refusals[0])
        if pauses.over():
            raise RestoreError(
                f"the broker did not answer for {PATIENCE_S:.0f} s ({why}): this worker ends, to be started again"
            )
        log.info("the broker does not answer (%s): asking again", why)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _note(found: list[str], error: KafkaError) -> None:
    reason = refusal(error)
    if reason is not None:
        found.append(reason)
