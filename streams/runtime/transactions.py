"""One transaction at a time: the worker's transactional producer, with a type of error for each outcome.

All calls block and are made by one thread. The answers a broker can give are four: committed; refused because of the
member (try again with the next metadata); refused because of a record; unknown (the process must end: what the log
holds is decided by the coordinator, not by us).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streams import clock
from streams.runtime import client_config
from streams.runtime.errors import (
    MemberRefusedError,
    MemberUnknownError,
    OutcomeUnknownError,
    RecordRefusedError,
    TransactionAbortedError,
)
from streams.runtime.fencing import OffsetOwner
from streams.runtime.first_delivery import FirstDeliveryGuard
from topics.contact import Contact

if TYPE_CHECKING:
    from streams.runtime.commit_unit import Out
    from streams.runtime.record import ConsumedRecord

log = logging.getLogger(__name__)

Partition = tuple[str, int]
Report = Callable[[KafkaError | None, Message], None]

_TRY_S: Final = 5.0  # for one client to get that answer
_OPEN_S: Final = 60.0  # for the first answer of a coordinator; then the process ends and its supervisor starts another
_FLUSH_S: Final = client_config.MESSAGE_TIMEOUT_S + 1.0  # longer than a record may wait
_AGAIN_S: Final = 0.05  # before a call is made again whose answer may have come at once
_STEP_S: Final = 0.2  # until it is asked whether a transaction still stands, whose records take so long
# The library does not respect the time given to send_offsets while the group's coordinator is away, which is as long as
# Kafka takes to replace it (https://github.com/confluentinc/librdkafka/issues/5456). So the calls of a transaction may
# take as long as it may be open. One that takes longer waits for a coordinator that the library has let go
# (https://github.com/confluentinc/librdkafka/issues/5511).
_STUCK_S: Final = client_config.TRANSACTION_TIMEOUT_S + 1.0
_SLOW_S: Final = 1.0  # a transaction that takes longer may have a client that has lost its cluster
_MEMBER: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - the library names local errors so
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)
# Fatal to the client, by the answer to a record: it does not know any more which records the broker has, as after the
# loss of a broker that held records without an answer. No commit is sent before all records are acknowledged.
_DESYNCHRONIZED: Final = frozenset(
    {
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError._INCONSISTENT,  # noqa: SLF001 - the library names local errors so
    }
)
_RECORD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library names local errors so
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class TransactionalProducer:
    """The transactional producer of this process (exactly-once v2, KIP-447: fenced by the consumer group's member)."""

    def __init__(
        self, client: client_config.Config, transactional_id: str, probe: Callable[[str], None], owner: OffsetOwner
    ) -> None:
        """Prepare `transactional_id`; `probe` gets each stage of a commit (fault tests stop the process there).

        `owner` is written beside the offsets, for a new owner of the partitions.
        """
        self.id = transactional_id
        self._owner = str(owner)
        self._client = client
        self._producer = self._new_producer()
        self._firsts = FirstDeliveryGuard(self._partitions)
        self._refused: KafkaError | None = None
        self._reports_due = 0  # records whose delivery report is required and has not come
        self._probe = probe
        self._contact = Contact(client)
        self._topic = ""  # one that the last transaction wrote to
        self._begun_at = clock.boottime()  # of the last transaction; the broker's time-out counts on in a suspend
        self._under_way = False

    def _new_producer(self) -> Producer:
        return Producer(client_config.producer(self._client, self.id), logger=None)

    def stuck(self) -> bool:
        """Return whether the transaction under way is older than the broker lets it be (any thread)."""
        return self._under_way and self._age() > _STUCK_S

    def lost(self) -> bool:
        """Return whether the client has lost the cluster for good (any thread but the commit's); may block for seconds.

        Asks nobody unless a transaction has been under way for a second. See `topics.contact`.
        """
        slow = self._under_way and bool(self._topic) and self._age() > _SLOW_S
        return slow and self._contact.lost(self._producer, self._topic)

    def _age(self) -> float:
        return clock.boottime() - self._begun_at

    def open(self) -> None:
        """Fence a predecessor with the same id and abort what it left open; waits a minute for the broker.

        Raises OutcomeUnknownError when the id is fenced by a newer process at once, or no coordinator answers.
        """
        end = clock.monotonic() + _OPEN_S
        while True:
            try:
                self._producer.init_transactions(_TRY_S)
            except KafkaException as error:
                if not error.args[0].retriable() or clock.monotonic() > end:
                    raise OutcomeUnknownError(
                        f"cannot open transactions as {self.id}: {error.args[0].str()}; this worker ends, to be "
                        "started again"
                    ) from error
                self._producer.poll(_AGAIN_S)
                self._producer = self._new_producer()  # one that has lost the brokers for good is never answered
            else:
                return

    def commit(
        self,
        outs: Sequence[Out],
        offsets: dict[Partition, int],
        metadata: object,
        changelogs: frozenset[str],
        *,
        careful: bool = False,
    ) -> dict[Partition, int]:
        """Commit `outs` and `offsets` (next to read) as the group member of `metadata`.

        Returns the next offset of each partition of `changelogs` that was written. Raises MemberRefusedError,
        TransactionAbortedError or RecordRefusedError (only if `careful`: every record's delivery is then asked for,
        which costs three times the processor time); after these three nothing of it counts. Raises OutcomeUnknownError
        when the process must end.
        """
        self._refused = None
        ends: dict[Partition, int] = {}
        self._begun_at = clock.boottime()
        self._topic, self._under_way = outs[0][0] if outs else self._topic, True
        try:
            self._producer.begin_transaction()
            self._probe("begun")
            lasts = {(out[0], out[3]): place for place, out in enumerate(outs)}
            firsts = self._firsts.of(outs, lasts.keys())
            asked = [*firsts, *(place for place_of, place in lasts.items() if place_of[0] in changelogs)]
            self._produce(outs, self._reports(range(len(outs)) if careful else asked, ends))
            positions = [
                TopicPartition(topic, partition, offset, self._owner) for (topic, partition), offset in offsets.items()
            ]

            def send_offsets() -> None:
                self._patiently(lambda: self._producer.send_offsets_to_transaction(positions, metadata, 5))

            if firsts:
                self._see_to_firsts(send_offsets)
            self._probe("produced")
            send_offsets()
            self._probe("offsets sent")
            self._patiently(lambda: self._producer.commit_transaction(5))
            self._probe("committed")
        except KafkaException as error:
            self._abandon(error, careful=careful)
        finally:
            self._under_way = False
        return ends

    def _reports(self, asked: Iterable[int], ends: dict[Partition, int]) -> dict[int, Report]:
        """Return the delivery callbacks of the records at the places `asked`.

        A callback costs as much as the record itself, and a partition's last record shows how far it was written: so
        only that one has a callback, beside the first on a partition, unless we look for a culprit.
        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                record = cast("ConsumedRecord", message)
                if (offset := record.offset()) is not None and offset >= 0:
                    self._reports_due -= 1
                    self._firsts.learnt(record.topic(), record.partition())
                    ends[record.topic(), record.partition()] = offset + 1
            elif self._refused is None:
                self._refused = error

        reports: dict[int, Report] = dict.fromkeys(asked, delivered)
        self._reports_due = len(reports)
        return reports

    def _see_to_firsts(self, stands: Callable[[], None]) -> None:
        """Wait for the required delivery reports.

        Raises TransactionAbortedError if it has not, unless it refused one: the library reports that itself. `stands`
        raises when any record was refused: the library sends none of the rest then, which would wait for its time-out.
        """
        end = clock.monotonic() + _FLUSH_S
        while self._producer.flush(_STEP_S) and self._refused is None and clock.monotonic() < end:
            stands()
        if self._reports_due and self._refused is None:
            self._abort()
            raise TransactionAbortedError("the broker did not say where the first records on a partition lie")

    def _partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if the broker does not know or say it."""
        try:
            return len(self._producer.list_topics(topic, 5).topics[topic].partitions)
        except KafkaException:
            return 0  # the records' own delivery reports will show what is wrong

    def _produce(self, outs: Sequence[Out], reports: dict[int, Report]) -> None:
        produce, report_of = self._producer.produce, reports.get
        for place, (topic, value, key, partition, headers) in enumerate(outs):
            while True:
                try:
                    if headers is None:
                        produce(topic, value, key, partition, report_of(place))
                    else:
                        produce(topic, value, key, partition, report_of(place), None, 0, list(headers))
                    break
                except BufferError:
                    self._producer.poll(0.01)

    def _patiently(self, call: Callable[[], object]) -> None:
        """Repeat a call that timed out or may be retried, for as long as the broker lets the transaction be open.

        A time-out says nothing about the outcome.
        """
        while True:
            try:
                call()
            except KafkaException as error:
                reason = error.args[0]
                again = reason.retriable() or reason.code() == KafkaError._TIMED_OUT  # noqa: SLF001
                if not again or self._age() > client_config.TRANSACTION_TIMEOUT_S:
                    raise
                self._producer.poll(_AGAIN_S)
            else:
                return

    def _abandon(self, error: KafkaException, *, careful: bool) -> None:
        reason: KafkaError = error.args[0]
        if reason.fatal() and reason.code() in _DESYNCHRONIZED:
            self._begin_anew(reason.str())
            raise TransactionAbortedError(reason.str()) from error
        # produce() says "erroneous state" when the broker has refused an earlier record of the same transaction already
        spoiled = reason.txn_requires_abort() or reason.code() == KafkaError._STATE  # noqa: SLF001
        if reason.fatal() or not spoiled:
            raise OutcomeUnknownError(self._explain(reason)) from error
        try:
            self._abort()
        except KafkaException as failed:
            raise OutcomeUnknownError(self._explain(failed.args[0])) from failed
        if reason.code() == KafkaError.UNKNOWN_MEMBER_ID:
            raise MemberUnknownError(reason.str()) from error
        if reason.code() in _MEMBER:
            raise MemberRefusedError(reason.str()) from error
        # Some deliveries are asked for also without care: a refusal among them says nothing of who of many it is for.
        if careful and self._refused is not None and self._refused.code() in _RECORD:
            raise RecordRefusedError(self._refused.str()) from error
        raise TransactionAbortedError(reason.str()) from error

    def _abort(self) -> None:
        """Abort the open transaction.

        A record without an answer may be on the log, as after the loss of its broker. The library then gives its
        sequence number to a record of the next transaction, and the broker drops that one as a repetition: it would be
        lost, though its transaction is committed. So the client is replaced unless every record has its answer.
        """
        if self._producer.flush(_STEP_S):
            self._begin_anew("records of it have no answer from the broker")
        else:
            self._patiently(lambda: self._producer.abort_transaction(5))

    def _begin_anew(self, reason: str) -> None:
        """Replace the client; the new one aborts the transaction that is open, and begins with a new epoch."""
        log.info("the client of %s is replaced, which aborts its transaction: %s", self.id, reason)
        self._producer.purge()
        self._producer = self._new_producer()
        self._firsts = FirstDeliveryGuard(self._partitions)
        self.open()

    def _explain(self, reason: KafkaError) -> str:
        """Return why a transaction has no outcome that this process may conclude from, and what to do."""
        why = f"{reason.name()}: {reason.str()}"
        took = self._age()
        if took >= client_config.TRANSACTION_TIMEOUT_S:
            return (
                f"the broker ended a transaction of {self.id} that was open for {took:.0f} s, longer than its "
                f"{client_config.TRANSACTION_TIMEOUT_S:.0f} s (transaction.timeout.ms): broker or worker stood still "
                f"for long ({why}); this worker ends, to be started again"
            )
        if reason.code() in _FENCED:
            return (
                f"{self.id} is fenced ({why}): another process has opened transactions under that id, or the "
                "coordinator lost its state; this worker ends, to be started again. If it repeats, two processes use "
                "one slot: give each worker a slot of its own"
            )
        return (
            f"the outcome of a transaction of {self.id} is unknown after {took:.0f} s ({why}): the coordinator moved, "
            "restarted or did not answer; this worker ends, to be started again, and reads the outcome from the log"
        )
