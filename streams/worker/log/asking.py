"""Questions that the cluster must answer: each try is short and by a new handle, so that none hangs on a dead one."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.worker.errors import RestoreError
from streams.worker.log import config

T = TypeVar("T")

_TRIES: Final = 12  # of some five seconds; then the process ends and its supervisor starts another


def answered(client: config.Config, ask: Callable[[AdminClient], T], say: Callable[[str], None]) -> T:
    """Return the answer of `ask`, tried again while the broker is silent or loading; blocks.

    Raises KafkaException for what no further try can change (an unknown topic, say), RestoreError after a minute.
    """
    for _ in range(_TRIES):
        try:
            return ask(AdminClient(config.quiet(client), logger=None))
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            say(f"the broker does not answer ({reason.str()}): asking again")
        except (TimeoutError, concurrent.futures.TimeoutError):
            say("the broker does not answer in time: asking again")
    raise RestoreError("the broker did not answer for a minute: this worker ends, to be started again")
