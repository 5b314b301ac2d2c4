"""Ends what dead workers left open, so that the next owner of their partitions need not wait for a time-out.

A worker that is killed in the middle of a transaction leaves it open until the broker ends it, after
`client_config.TRANSACTION_TIMEOUT_S`. Its successor in the same slot ends it at once, by opening transactions under the
same id. Where nobody restarts the slot, or not soon, the new owner of a partition does the same. Each owner writes its
name beside the offsets that it commits, and the group's coordinator says who is a member still. A worker that was only
suspended is fenced by that, as it must be: the group has given its partitions to others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streams.runtime import client_config
from streams.runtime.group_members import GroupMembers

log = logging.getLogger(__name__)


_ANSWER_S: Final = 2.0
_STABLE_S: Final = 1.5
_OPEN_S: Final = 5.0


class OffsetOwner(NamedTuple):
    """Who commits offsets: its slot, and the client id of this start of its process.

    A client id ends with a slash and what is of this start alone; before it, each start in a slot has the same.
    """

    slot: str
    client_id: str

    def __str__(self) -> str:
        """Return it as it stands in the metadata of a committed offset."""
        return f"{self.slot}\n{self.client_id}"

    @classmethod
    def parse(cls, metadata: str | None) -> Self | None:
        """Read it back; None for what another program or an older version has committed."""
        slot, separator, client_id = (metadata or "").partition("\n")
        return cls(slot, client_id) if separator else None


def transactional_id(group: str, slot: str) -> str:
    """Return the id under which the worker in a slot writes."""
    return f"{group}.{slot}"


def end_open_transactions(client: client_config.Config, group: str, places: Sequence[TopicPartition]) -> None:
    """Abort what the last owners of `places` left open, if the group does without them. Blocks for some seconds.

    What is being committed is waited for. A broker that does not answer is no error: its own time-out ends it. A worker
    that was started again in the slot is not fenced, unless it has not joined the group yet while the transaction of
    its predecessor is open still.
    """
    departed = _departed(client, group, places)
    if not departed or _committed(client, group, places, "read_committed", _STABLE_S) is not None:
        return  # it was the coordinator that did not answer, not an open transaction
    for owner in departed:
        producer = Producer(client_config.producer(client, transactional_id(group, owner.slot)), logger=None)
        try:
            producer.init_transactions(_OPEN_S)
        except KafkaException as error:
            log.info("the transaction that worker %s left open is not ended yet: %s", owner.slot, error.args[0].str())
        else:
            log.info("ended the transaction that worker %s left open", owner.slot)


def _departed(client: client_config.Config, group: str, places: Sequence[TopicPartition]) -> list[OffsetOwner]:
    """Return the last owners that are no members any more; nobody if the group does not say who is one."""
    found = _committed(client, group, places, "read_uncommitted", _ANSWER_S)  # what is pending does not hold it back
    owners = {owner for place in found or () if (owner := OffsetOwner.parse(place.metadata)) is not None}
    members = GroupMembers(client).of(group) if owners else None
    if not members:  # unknown, or a group that is loading: we are a member ourselves
        return []
    present = {_without_start(member.client_id) for member in members}
    return sorted(owner for owner in owners if _without_start(owner.client_id) not in present)


def _committed(
    client: client_config.Config, group: str, places: Sequence[TopicPartition], isolation: str, seconds: float
) -> list[TopicPartition] | None:
    """Return the group's offsets, None if there is no answer in time."""
    reader = Consumer(client_config.reader(client, group) | {"isolation.level": isolation}, logger=None)
    try:
        return reader.committed(list(places), seconds)
    except KafkaException:
        return None
    finally:
        reader.close()


def _without_start(client_id: str) -> str:
    return client_id.rpartition("/")[0]
