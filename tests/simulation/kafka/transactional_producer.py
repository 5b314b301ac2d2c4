"""The transactional producer: the library's state machine, with its resumable calls and its three kinds of errors.

An error is retriable (call again), abortable (`txn_requires_abort`) or fatal. Work goes on in the background when a
call times out, and the same call takes its result later.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import KafkaError, TopicPartition

from tests.simulation.kafka.client import answering
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import RefusedError, failure, kafka_error
from tests.simulation.kafka.group_coordinator import CommittedOffset
from tests.simulation.kafka.group_metadata import ConsumerGroupMetadata
from tests.simulation.kafka.links import Unanswered
from tests.simulation.kafka.producer import SimulatedProducer
from tests.simulation.kafka.timing import Waiter
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity

_FENCED: Final = frozenset({KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_OFFSETS_AGAIN_S: Final = 0.5  # before offsets are sent to a group's coordinator again
_FOR_EVER: Final = float("inf")
#: Refusals of requests of a transaction after which the producer cannot go on.
_FATAL: Final = _FENCED | {
    KafkaError.INVALID_TXN_STATE,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_OFFSETS_RETRIABLE: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class ProducerState(Enum):
    """The states of the library's transaction manager."""

    INIT = "Init"
    WAIT_ID = "WaitPID"
    READY_NOT_ACKED = "ReadyNotAcked"
    READY = "Ready"
    IN_TRANSACTION = "InTransaction"
    BEGIN_COMMIT = "BeginCommit"
    COMMITTING = "CommittingTransaction"
    COMMIT_NOT_ACKED = "CommitNotAcked"
    BEGIN_ABORT = "BeginAbort"
    ABORTING = "AbortingTransaction"
    ABORT_NOT_ACKED = "AbortedNotAcked"
    ABORTABLE = "AbortableError"
    FATAL = "FatalError"


S = ProducerState


class TransactionalProducer(SimulatedProducer):
    """A producer with `transactional.id`."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        process: str,
        config: dict[str, Any],
        error_cb: Callable[[KafkaError], None] | None,
        wall: Callable[[], float],
    ) -> None:
        """Connect; nothing is asked before `init_transactions`."""
        super().__init__(cluster, waiter, chance, process, config, error_cb, wall)
        self._id = str(config["transactional.id"])
        self._timeout_s = self._ms("transaction.timeout.ms", 60_000) / 1000
        self._state = S.INIT
        self._api = ""  # the call that is to be resumed
        self._error: KafkaError | None = None  # of the transaction, abortable or fatal
        self._failed_deliveries = 0
        self._registered = False  # whether the coordinator may know of the transaction
        self._members: set[tuple[str, int]] = set()  # partitions in the transaction
        self._joining: set[tuple[str, int]] = set()
        self._asking_to_join = False
        self._needs_bump = False

    # -- the application's calls

    def init_transactions(self, timeout: float = -1) -> None:
        """Get an id and epoch of the coordinator, which fences whoever has the transactional id."""
        self._begin_call("init_transactions")
        deadline = self._deadline(timeout)
        if self._state is S.INIT:
            self._state = S.WAIT_ID
            self._ask_identity(None)
        self._require(S.WAIT_ID, S.READY_NOT_ACKED, S.READY)
        if not self._waiter.wait(deadline, lambda: self._state is not S.WAIT_ID):
            raise failure(KafkaError._TIMED_OUT, "Failed to initialize Producer ID", retriable=True)
        self._require(S.READY_NOT_ACKED, S.READY)
        self._state, self._api = S.READY, ""

    def begin_transaction(self) -> None:
        """Begin; nothing is sent."""
        self._begin_call("begin_transaction", resumable=False)
        self._require(S.READY)
        self._state, self._error, self._failed_deliveries = S.IN_TRANSACTION, None, 0

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], group_metadata: object, timeout: float = -1
    ) -> None:
        """Make offsets of a group part of the transaction.

        As in the library the second half, at the group's coordinator, waits for that one longer than `timeout`.
        """
        if not isinstance(group_metadata, ConsumerGroupMetadata):
            raise TypeError("send_offsets_to_transaction expects metadata of a consumer of the simulated Kafka")
        self._begin_call("send_offsets_to_transaction", resumable=False)
        offsets = {
            (one.topic, one.partition): CommittedOffset(one.offset, one.metadata or "")
            for one in positions
            if one.offset >= 0
        }
        if not offsets:
            return
        self._require(S.IN_TRANSACTION)
        deadline = self._deadline(min(timeout, self._timeout_s) if timeout >= 0 else self._timeout_s)
        self._add_offsets(group_metadata.group, deadline)
        self._send_offsets(group_metadata, offsets, deadline)

    def commit_transaction(self, timeout: float = -1) -> None:
        """Flush, and commit; after a time-out the same call resumes."""
        self._begin_call("commit_transaction")
        deadline = self._deadline(timeout)
        self._require(S.IN_TRANSACTION, S.BEGIN_COMMIT, S.COMMITTING, S.COMMIT_NOT_ACKED)
        if self._state is S.IN_TRANSACTION:
            self._state = S.BEGIN_COMMIT
        self._flush_for("commit", deadline)
        self._require(S.BEGIN_COMMIT, S.COMMITTING, S.COMMIT_NOT_ACKED)
        if self._state is S.BEGIN_COMMIT:
            if self._failed_deliveries:
                reason = f"{self._failed_deliveries} message(s) failed delivery (see individual delivery reports)"
                self._set_abortable(KafkaError._INCONSISTENT, reason)
                self._require()
            self._state = S.COMMITTING
            self._end(commit=True)
        self._await_state(deadline, S.COMMITTING)
        self._require(S.COMMIT_NOT_ACKED)
        self._complete()

    def abort_transaction(self, timeout: float = -1) -> None:
        """Drop what was not sent, and abort; after a time-out the same call resumes."""
        self._begin_call("abort_transaction")
        deadline = self._deadline(timeout)
        if self._state is not S.ABORTABLE:
            self._require(S.IN_TRANSACTION, S.BEGIN_ABORT, S.ABORTING, S.ABORT_NOT_ACKED)
        if self._state in (S.IN_TRANSACTION, S.ABORTABLE):
            self._state = S.BEGIN_ABORT
            self._joining.clear()
        if self._state is S.BEGIN_ABORT:
            self.purge(in_flight=False)
            self._flush_for("abort", deadline)
            self._state = S.ABORTING
            self._end(commit=False)
        self._await_state(deadline, S.ABORTING)
        self._require(S.ABORT_NOT_ACKED)
        self._complete()

    # -- calls

    def _begin_call(self, name: str, *, resumable: bool = True) -> None:
        if self._api and self._api != name:
            raise failure(
                KafkaError._CONFLICT, f"Conflicting {self._api} API call is already in progress", retriable=True
            )
        self._api = name if resumable else self._api

    def _deadline(self, timeout: float) -> float | None:
        return None if timeout is None or timeout < 0 else self._waiter.now() + timeout

    def _require(self, *states: ProducerState) -> None:
        """Raise the error of the transaction, or that a call is not allowed in this state."""
        if self._state in states:
            return
        self._api = ""
        error = self._error
        if self._state is S.FATAL and error is not None:
            raise failure(error.code(), error.str(), fatal=True)
        if self._state is S.ABORTABLE and error is not None:
            raise failure(error.code(), error.str(), abort=True)
        raise failure(KafkaError._STATE, f"Operation not valid in state {self._state.value}")

    def _await_state(self, deadline: float | None, busy: ProducerState) -> None:
        if not self._waiter.wait(deadline, lambda: self._state is not busy):
            raise failure(
                KafkaError._TIMED_OUT, "Timed out waiting for operation to finish, retry call to resume", retriable=True
            )

    def _flush_for(self, what: str, deadline: float | None) -> None:
        """Wait for all messages and run their reports."""
        while len(self):
            if not self._waiter.wait(deadline, lambda: bool(self._reports or self._callbacks) or not len(self)):
                raise failure(
                    KafkaError._TIMED_OUT,
                    f"Failed to flush all outstanding messages within the API timeout of the {what}: "
                    f"{len(self)} message(s) remaining",
                    retriable=True,
                )
            self._serve()

    def _complete(self) -> None:
        self._state, self._api = S.READY, ""
        self._members.clear()
        self._joining.clear()
        self._registered = self._needs_bump = False

    # -- identity

    def _coordinator_of_id(self) -> int | None:
        return self._coordinator("transaction", self._id)

    def _ask_identity(self, former: ProducerIdentity | None) -> None:
        exchange = self._exchange(
            "InitProducerId",
            self._coordinator_of_id,
            lambda api: api.init_producer(self._id, self._timeout_s, former),
            timeout_s=_FOR_EVER,
            coordinator=("transaction", self._id),
        )
        exchange.then(self._acquired)

    def _acquired(self, answer: Any) -> None:
        if not isinstance(answer, ProducerIdentity):
            self._set_transaction_fatal(answer.code, "Failed to acquire transactional PID")
            return
        self._identity = answer
        for queue in self._queues.values():
            queue.renumber(answer)
        if self._state is S.WAIT_ID:
            self._state = S.READY_NOT_ACKED
        elif self._state is S.ABORTING:
            self._state = S.ABORT_NOT_ACKED

    def _bump(self, code: int) -> None:
        """Ask for a new epoch when the transaction is aborted: only the coordinator gives them."""
        if not self._needs_bump and self._state is not S.FATAL:
            self._needs_bump = True
            self._set_abortable(code, f"Transaction needs a new epoch: {KafkaError(code).str()}")

    # -- partitions

    def _require_open(self) -> None:
        super()._require_open()
        if self._state is not S.IN_TRANSACTION:
            raise failure(KafkaError._STATE, "Unable to produce message: Local: Erroneous state")

    def _may_send(self, place: tuple[str, int]) -> bool:
        """Tell whether a partition is in the transaction; one that is not is added first."""
        if place in self._members:
            return self._state in (S.IN_TRANSACTION, S.BEGIN_COMMIT, S.BEGIN_ABORT)
        if self._state in (S.IN_TRANSACTION, S.BEGIN_COMMIT):
            if place not in self._joining and not self._joining:
                self._waiter.schedule(self._waiter.now(), self._join)
            self._joining.add(place)
        return False

    def _join(self) -> None:
        identity, places = self._identity, set(self._joining)
        if self._asking_to_join or not places or identity is None or self._closed:
            return
        self._asking_to_join = self._registered = True
        exchange = self._exchange(
            "AddPartitionsToTxn",
            self._coordinator_of_id,
            lambda api: api.add_partitions(self._id, identity, places),
            timeout_s=_FOR_EVER,
            coordinator=("transaction", self._id),
        )
        exchange.then(lambda answer: self._joined(places, answer))

    def _joined(self, places: set[tuple[str, int]], answer: Any) -> None:
        self._asking_to_join = False
        if isinstance(answer, RefusedError):
            if answer.code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._waiter.schedule(self._waiter.now() + self._ms("retry.backoff.ms", 100) / 1000, self._join)
            elif answer.code == KafkaError.INVALID_PRODUCER_ID_MAPPING:
                self._needs_bump = True
                self._set_abortable(answer.code, "Failed to add partition(s) to transaction")
            elif answer.code in _FATAL:
                self._set_transaction_fatal(answer.code, "Failed to add partition(s) to transaction")
            else:
                self._set_abortable(answer.code, "Failed to add partition(s) to transaction")
            return
        if self._state not in (S.IN_TRANSACTION, S.BEGIN_COMMIT):
            return
        self._members |= places
        self._joining -= places
        self._pump_all()
        if self._joining:
            self._join()

    # -- offsets

    def _add_offsets(self, group: str, deadline: float | None) -> None:
        identity = self._identity
        if identity is None:
            raise failure(KafkaError._STATE, "No PID available", retriable=True)
        self._registered = True
        limit = _FOR_EVER if deadline is None else deadline - self._waiter.now()
        exchange = self._exchange(
            "AddOffsetsToTxn",
            self._coordinator_of_id,
            lambda api: api.add_offsets(self._id, identity, group),
            timeout_s=limit,
            coordinator=("transaction", self._id),
        )
        self._waiter.wait(deadline, lambda: exchange.done or self._state is not S.IN_TRANSACTION)
        exchange.cancel()
        self._require(S.IN_TRANSACTION)
        answer = exchange.answer
        if isinstance(answer, Unanswered):
            raise failure(answer.code, "Failed to add offsets to transaction", retriable=True)
        if isinstance(answer, RefusedError):
            reason = f"Failed to add offsets to transaction: {KafkaError(answer.code).str()}"
            if answer.code in _FATAL:
                self._set_transaction_fatal(answer.code, reason)
            else:
                self._set_abortable(answer.code, reason)
            self._require()

    def _send_offsets(
        self,
        metadata: ConsumerGroupMetadata,
        offsets: dict[tuple[str, int], CommittedOffset],
        deadline: float | None,
    ) -> None:
        """Send offsets to the group's coordinator; while nobody knows that one this takes as long as it takes."""
        identity = self._identity
        while True:
            self._waiter.wait(
                None,
                lambda: self._coordinator("group", metadata.group) is not None or self._state is not S.IN_TRANSACTION,
            )
            self._require(S.IN_TRANSACTION)
            answers: list[Any] = []
            self._links.send(
                self._coordinators["group", metadata.group],
                "TxnOffsetCommit",
                answering(
                    methodcaller("commit_in_transaction", self._id, metadata.group, metadata.member, identity, offsets)
                ),
                answers.append,
                self._ms("socket.timeout.ms", 60_000) / 1000,
            )
            self._waiter.wait(None, partial(self._is_answered, answers))
            self._require(S.IN_TRANSACTION)
            answer = answers[0]
            if not isinstance(answer, RefusedError | Unanswered):
                return
            self._react(metadata.group, answer, deadline)

    def _is_answered(self, answers: list[Any]) -> bool:
        return bool(answers) or self._state is not S.IN_TRANSACTION

    def _react(self, group: str, answer: RefusedError | Unanswered, deadline: float | None) -> None:
        """Wait before the next try, or raise for a refusal that is final or comes too late."""
        if isinstance(answer, Unanswered) or answer.code in (
            KafkaError.NOT_COORDINATOR,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.REQUEST_TIMED_OUT,
        ):
            self._coordinators.pop(("group", group), None)
        reason = f"Failed to commit offsets to transaction: {KafkaError(answer.code).str()}"
        if isinstance(answer, Unanswered) or answer.code in _OFFSETS_RETRIABLE:
            if deadline is None or self._waiter.now() < deadline:
                self._waiter.wait(self._waiter.now() + _OFFSETS_AGAIN_S, lambda: self._state is not S.IN_TRANSACTION)
                return
            self._set_abortable(answer.code, reason)
        elif answer.code in _FATAL or answer.code == KafkaError.INVALID_PRODUCER_ID_MAPPING:
            self._set_transaction_fatal(answer.code, reason)
        else:
            self._set_abortable(answer.code, reason)
        self._require()

    # -- the end

    def _end(self, *, commit: bool) -> None:
        """Send EndTxn, if the coordinator may know of the transaction, until it is answered."""
        identity = self._identity
        if not self._registered or identity is None:
            self._ended(commit, None)
            return
        exchange = self._exchange(
            "EndTxn",
            self._coordinator_of_id,
            lambda api: api.end_transaction(self._id, identity, commit=commit),
            timeout_s=_FOR_EVER,
            coordinator=("transaction", self._id),
        )
        exchange.then(lambda answer: self._ended(commit, answer))

    def _ended(self, commit: bool, answer: Any) -> None:
        if self._closed or self._state is S.FATAL:
            return
        if isinstance(answer, RefusedError):
            reason = f"Failed to end transaction: {KafkaError(answer.code).str()}"
            if answer.code in _FATAL:
                self._set_transaction_fatal(answer.code, reason)
            elif answer.code == KafkaError.INVALID_PRODUCER_ID_MAPPING and not commit:
                self._ask_identity(self._identity)
            else:
                self._needs_bump = self._needs_bump or answer.code == KafkaError.INVALID_PRODUCER_ID_MAPPING
                self._set_abortable(answer.code, reason)
            return
        if isinstance(answer, ProducerIdentity) and answer != self._identity:
            self._acquired_after_end(answer)
        if commit:
            self._state = S.COMMIT_NOT_ACKED
        elif self._needs_bump:
            self._ask_identity(self._identity)
        else:
            self._state = S.ABORT_NOT_ACKED

    def _acquired_after_end(self, identity: ProducerIdentity) -> None:
        self._identity = identity
        for queue in self._queues.values():
            queue.renumber(identity)

    # -- errors

    def _spoiled(self, code: int, reason: str) -> None:
        if code in _FENCED:
            self._set_transaction_fatal(code, reason)
        else:
            self._set_abortable(code, reason)  # the gap in the sequence numbers spoils the next transaction as well

    def _fail(self, partition: int, messages: list[Any], error: KafkaError) -> None:
        self._failed_deliveries += len(messages)
        super()._fail(partition, messages, error)

    def _set_abortable(self, code: int, reason: str) -> None:
        if self._state is S.FATAL or self._error is not None:
            return
        self._error = kafka_error(code, reason, abort=True)
        self._state = S.ABORTABLE
        self.purge(in_flight=False)

    def _set_transaction_fatal(self, code: int, reason: str) -> None:
        if self._state is S.FATAL:
            return
        named = KafkaError._FENCED if code in _FENCED else code
        self._error = kafka_error(named, reason, fatal=True)
        self._state = S.FATAL
        self._set_fatal(self._error)
        self.purge()

    def _set_fatal(self, error: KafkaError) -> None:
        if self._state is not S.FATAL:
            self._error, self._state = error, S.FATAL
        super()._set_fatal(error)
