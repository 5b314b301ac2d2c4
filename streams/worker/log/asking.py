"""Questions that the cluster must answer: each try is short and by a new handle, so that none hangs on a dead one."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams import clock
from streams.worker.errors import ClusterUnfitError, RestoreError
from streams.worker.log import config
from topics.refusals import missing_right, refusal

T = TypeVar("T")

_TRIES: Final = 12  # of some five seconds; then the process ends and its supervisor starts another
_PACE_S: Final = 5.0  # a broker that refuses at once, as one that loads its groups does, is not asked more often


def answered(
    client: config.Config,
    ask: Callable[[AdminClient], T],
    say: Callable[[str], None],
    pause: Callable[[float], object] = lambda seconds: threading.Event().wait(seconds),
) -> T:
    """Return the answer of `ask`, tried again while the broker is silent or loading; blocks for at most two minutes.

    Raises KafkaException for a topic that does not exist, ClusterUnfitError for a connection or a request that the
    broker refuses (credentials, TLS, ACLs), RestoreError when no answer came.
    """
    for _ in range(_TRIES):
        refusals: list[str] = []
        settings = config.quiet(client) | {"error_cb": lambda error, found=refusals: _note(error, found)}
        admin = AdminClient(settings, logger=None)
        began = clock.monotonic()
        try:
            return ask(admin)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            refused = missing_right(reason)
            if refused is not None:
                raise ClusterUnfitError(refused) from error
            say(f"the broker does not answer ({reason.str()}): asking again")
        except (TimeoutError, concurrent.futures.TimeoutError):
            say("the broker does not answer in time: asking again")
        admin.poll(0)
        if refusals:
            raise ClusterUnfitError(refusals[0])
        pause(max(0.0, _PACE_S - (clock.monotonic() - began)))
    raise RestoreError("the broker did not answer for a minute: this worker ends, to be started again")


def _note(error: KafkaError, found: list[str]) -> None:
    reason = refusal(error)
    if reason is not None:
        found.append(reason)
