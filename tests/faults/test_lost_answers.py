"""A record that is on the log although its answer was lost: the next transaction loses nothing by it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # its stubs err

from streams.runtime.errors import TransactionAbortedError
from streams.runtime.fencing import OffsetOwner
from streams.runtime.transactions import TransactionalProducer
from streams.settings import cache_home
from tests.faults.rig.proxy import PRODUCE, ProxiedKafka, Proxy
from tests.faults.rig.waiting import until

# Clients that still look for the broker leave sockets in the loop of the proxy when that ends.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TOPIC = "t.out"
GROUP = "t"


class Refusing:
    """A client whose offsets are refused once, as by a coordinator that goes away."""

    def __init__(self, client: Any, proxy: Proxy) -> None:
        self._client = client
        self._proxy = proxy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_offsets_to_transaction(self, *_: Any) -> None:
        """Wait until the answer to the record is lost, let the client find the broker again soon, and refuse."""
        while not self._proxy.away:
            self._client.poll(0.01)
        self._proxy.back_in(1.0)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "as scripted", txn_requires_abort=True))


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    """Return a proxy before a broker of the test's own."""
    async with Proxy() as made:
        broker = ProxiedKafka(tmp_path, cache_home(), made.port)
        await asyncio.to_thread(broker.start)
        made.target = broker.port
        await asyncio.to_thread(broker.wait_ready)
        try:
            yield made
        finally:
            await asyncio.to_thread(broker.kill)
    gc.collect()  # what clients opened while the proxy ended is collected here, and in no other test


def values(address: str) -> list[bytes]:
    """Return what a read_committed reader finds on the topic."""
    reader = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    reader.assign([TopicPartition(TOPIC, 0, 0)])
    found: list[bytes] = []
    try:
        while True:
            message = reader.poll(10)
            assert message is not None, found
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return found
            found.append(message.value() or b"")
    finally:
        reader.close()


async def test_a_record_whose_broker_was_lost_is_not_dropped_when_it_is_sent_again(proxy: Proxy) -> None:
    """Kafka loses a broker; the transaction is aborted and its unit sent again: both must not get one sequence number.

    The record of the aborted transaction is on the log. librdkafka gives its sequence number to the next record, which
    the broker then takes for a repetition: the transaction was committed without it, and an event was lost.
    """
    admin = AdminClient({"bootstrap.servers": proxy.address}, logger=None)
    (made,) = admin.create_topics([NewTopic(TOPIC, 1, 1)]).values()
    await asyncio.to_thread(made.result, 30)
    client = {"bootstrap.servers": proxy.address}
    transactions = TransactionalProducer(client, "t.a", lambda _stage: None, OffsetOwner("a", "a-1"))
    await asyncio.to_thread(transactions.open)
    member = Consumer(client | {"group.id": GROUP, "enable.auto.commit": False}, logger=None)
    metadata = member.consumer_group_metadata()

    def commit(value: bytes) -> None:
        transactions.commit([(TOPIC, value, b"k", 0, None)], {(TOPIC, 0): 1}, metadata, frozenset())

    await asyncio.to_thread(commit, b"first")  # from now on the partition knows the producer
    plain = transactions._producer
    transactions._producer = cast("Any", Refusing(plain, proxy))
    proxy.cutting = PRODUCE
    with pytest.raises(TransactionAbortedError):
        await asyncio.to_thread(commit, b"second")
    if isinstance(transactions._producer, Refusing):
        transactions._producer = plain
    await until(lambda: not proxy.away)
    await asyncio.to_thread(commit, b"second, again")
    await asyncio.to_thread(commit, b"third")
    member.close()
    assert await asyncio.to_thread(values, proxy.address) == [b"first", b"second, again", b"third"]
