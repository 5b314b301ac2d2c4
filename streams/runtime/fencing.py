"""Ends what dead workers left open, so that the next owner of their partitions need not wait for a time-out.

A worker that is killed in the middle of a transaction leaves it open until the broker ends it, after
`config.TRANSACTION_TIMEOUT_S`. Its successor in the same slot ends it at once, by opening transactions under the same
id. Where nobody restarts the slot, or not soon, the new owner of a partition does the same. A worker that was only
suspended is fenced by that, as it must be: the group has given its partitions to others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaException, Producer

from streams.runtime import client_config

log = logging.getLogger(__name__)


_OPEN_S: Final = 5.0

#: Returns the slots of workers that the group has expelled and that nobody has restarted. Blocks.
Departed = Callable[[], Sequence[str]]


def nobody() -> Sequence[str]:
    """Return no slot: for who does not know of other workers."""
    return ()


def fence(client: client_config.Config, group: str, slots: Sequence[str]) -> None:
    """Abort the open transactions of `slots`; one that is being committed is waited for. Blocks.

    A broker that does not answer in time is no error: its own time-out ends the transaction.
    """
    for slot in slots:
        producer = Producer(client_config.producer(client, transactional_id(group, slot)), logger=None)
        try:
            producer.init_transactions(_OPEN_S)
        except KafkaException as error:
            log.info("the transaction that worker %s left open is not ended yet: %s", slot, error.args[0].str())
        else:
            log.info("ended the transaction that worker %s left open", slot)


def transactional_id(group: str, slot: str) -> str:
    """Return the id under which the worker in a slot writes."""
    return f"{group}.{slot}"
