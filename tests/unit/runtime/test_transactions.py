"""Each outcome of a transaction told apart, by a producer that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams import clock
from streams.runtime import client_config
from streams.runtime import transactions as module
from streams.runtime.errors import (
    MemberRefusedError,
    MemberUnknownError,
    OutcomeUnknownError,
    RecordRefusedError,
    TransactionAbortedError,
)
from streams.runtime.fencing import OffsetOwner
from streams.runtime.transactions import TransactionalProducer

OUTS = [("t.out", b"v", b"k", -1, None), ("t.log", b"r", b"k", 3, None)]


def failure(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "as scripted", fatal=fatal, retriable=retriable, txn_requires_abort=abort))


class Said:
    """A delivered record; without an offset where the broker took it for a repetition."""

    def __init__(self, topic: str, partition: int, offset: int | None = 41) -> None:
        self._place = (topic, partition, offset)

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int | None:
        return self._place[2]


class Script:
    """A producer: each of its calls takes the next answer of its script, an exception or None."""

    def __init__(self, **answers: Iterable[KafkaException | None]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.calls: list[str] = []
        self.delivery: KafkaError | None = None
        self.untold: list[str] = []  # topics whose next record the broker takes for a repetition
        self.asked: list[str] = []
        self.queued: list[int] = []  # records that are still under way after each flush
        self.successors: list[Script] = []  # clients that replaced this one
        self.before: Callable[[], None] = lambda: None

    def _answer(self, name: str) -> None:
        self.calls.append(name)
        self.before()
        waiting = self.answers.get(name, [])
        answer = waiting.pop(0) if waiting else None
        if answer is not None:
            raise answer

    def begin_transaction(self) -> None:
        self._answer("begin")

    def produce(self, topic: str, value: Any, key: Any, partition: int, report: Any, *rest: Any) -> None:
        self.calls.append(f"produce {topic}")
        if report is not None:
            self.asked.append(topic)
            if topic in self.untold:
                self.untold.remove(topic)
                report(None, Said(topic, max(partition, 0), None))
            else:
                report(self.delivery, Said(topic, max(partition, 0)))

    def list_topics(self, topic: str, *_: Any) -> Any:
        self.calls.append(f"list {topic}")
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None})})

    def flush(self, *_: Any) -> int:
        self._answer("flush")
        return self.queued.pop(0) if self.queued else 0

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self._answer("offsets")

    def commit_transaction(self, *_: Any) -> None:
        self._answer("commit")

    def abort_transaction(self, *_: Any) -> None:
        self._answer("abort")

    def poll(self, *_: Any) -> None:
        """Wait a moment before a call is made again."""

    def purge(self) -> None:
        self.calls.append("purge")

    def init_transactions(self, *_: Any) -> None:
        self._answer("init")


def over(script: Script) -> TransactionalProducer:
    owner = OffsetOwner("a", "a-1")
    made = TransactionalProducer({"bootstrap.servers": "127.0.0.1:1"}, "t.a", lambda _stage: None, owner)
    made._producer = cast("Any", script)

    def new_producer() -> Script:
        made = Script()
        made.answers, made.before = script.answers, script.before
        script.successors.append(made)
        return made

    made.__dict__["_new_producer"] = new_producer
    return made


def committed(script: Script, *, careful: bool = False) -> dict[tuple[str, int], int]:
    outs = cast("Any", OUTS)
    return over(script).commit(outs, {("t.in", 3): 5}, "member", frozenset({"t.log"}), careful=careful)


def test_offsets_go_after_the_records_and_before_the_commit() -> None:
    script = Script()
    assert committed(script)["t.log", 3] == 42
    assert script.calls == ["begin", "list t.out", "produce t.out", "produce t.log", "flush", "offsets", "commit"]


def test_what_is_never_sent_because_another_record_was_refused_is_not_waited_for() -> None:
    script = Script(offsets=[None, failure(KafkaError._STATE)])
    script.queued = [2, 2, 0]
    with pytest.raises(TransactionAbortedError):
        committed(script)
    assert script.calls.count("flush") == 3
    assert script.calls[-1] == "abort"


def test_a_client_with_records_that_have_no_answer_is_replaced_by_one_that_aborts_its_transaction() -> None:
    """The library would give their sequence numbers to the next records, which the broker takes for repetitions."""
    script = Script(offsets=[failure(KafkaError._TRANSPORT, abort=True)])
    script.queued = [0, 2]
    with pytest.raises(TransactionAbortedError):
        committed(script)
    assert "abort" not in script.calls
    assert script.calls[-1] == "purge"
    assert [one.calls for one in script.successors] == [["init"]]


@pytest.mark.parametrize("lost", ["t.out", "t.log"])
def test_a_transaction_whose_first_record_on_a_partition_has_no_place_is_aborted_and_may_be_sent_again(
    lost: str,
) -> None:
    """The library calls such a record a success, and it is not on the log."""
    script = Script()
    script.untold = [lost]
    transactions = over(script)
    outs = cast("Any", OUTS)
    with pytest.raises(TransactionAbortedError, match="first records"):
        transactions.commit(outs, {}, "member", frozenset({"t.log"}))
    assert script.calls[-1] == "abort"
    assert transactions.commit(outs, {}, "member", frozenset({"t.log"}))["t.log", 3] == 42
    assert script.calls[-2:] == ["offsets", "commit"]


def test_partitions_that_know_the_producer_are_not_asked_again_for_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    script = Script()
    transactions = over(script)

    def asked() -> list[str]:
        script.asked.clear()
        transactions.commit(cast("Any", OUTS * 3), {}, "member", frozenset({"t.log"}))
        return script.asked

    assert asked() == ["t.out", "t.log", "t.log"]  # the first of each partition, and the changelog's last
    assert asked() == ["t.log"]
    assert (script.calls.count("flush"), script.calls.count("list t.out")) == (1, 1)
    now[0] += 13 * 3600
    assert asked() == ["t.out", "t.log", "t.log"]


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_a_call_that_timed_out_is_made_again_and_nothing_is_assumed(call: str) -> None:
    late = failure(KafkaError._TIMED_OUT)
    script = Script(**{call: [late, failure(KafkaError._TRANSPORT, retriable=True), None]})
    committed(script)
    assert script.calls.count(call) == 3
    assert "abort" not in script.calls


def test_a_commit_that_never_answers_is_unknown_once_the_broker_has_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    script = Script(commit=[failure(KafkaError._TIMED_OUT) for _ in range(100)])
    script.before = lambda: now.__setitem__(0, now[0] + 5)
    with pytest.raises(OutcomeUnknownError):
        committed(script)
    assert 2 <= script.calls.count("commit") <= 5
    assert "abort" not in script.calls


@pytest.mark.parametrize(
    "code",
    [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.STALE_MEMBER_EPOCH],
)
def test_a_refused_member_is_told_after_the_abort(code: int) -> None:
    script = Script(offsets=[failure(code, abort=True)])
    with pytest.raises(MemberRefusedError):
        committed(script)
    assert script.calls[-1] == "abort"


def test_an_abort_for_no_record_may_be_sent_again() -> None:
    script = Script(commit=[failure(KafkaError._MSG_TIMED_OUT, abort=True)])
    with pytest.raises(TransactionAbortedError):
        committed(script)


def test_a_refused_record_is_told_by_its_delivery() -> None:
    script = Script(commit=[failure(KafkaError.MSG_SIZE_TOO_LARGE, abort=True)])
    script.delivery = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(RecordRefusedError):
        committed(script, careful=True)


def test_a_record_that_is_refused_before_its_unit_stands_alone_is_no_units_fault() -> None:
    """The first on a partition is asked for whatever it is sent with: who is to blame is looked for by halves."""
    script = Script(offsets=[failure(KafkaError._STATE)])
    script.delivery = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(TransactionAbortedError):
        committed(script)
    assert script.calls[-1] == "abort"


@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
def test_after_a_fatal_error_nothing_is_aborted_and_the_slot_is_named(call: str) -> None:
    script = Script(**{call: [failure(KafkaError._FENCED, fatal=True)]})
    with pytest.raises(OutcomeUnknownError, match=r"t\.a is fenced .*two processes use one slot"):
        committed(script)
    assert "abort" not in script.calls


@pytest.mark.parametrize("call", ["offsets", "commit"])
@pytest.mark.parametrize(
    "code", [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID, KafkaError._INCONSISTENT]
)
def test_a_client_that_has_lost_count_of_its_records_is_replaced_and_the_unit_may_be_sent_again(
    call: str, code: int
) -> None:
    """As after the loss of a broker that held records without an answer: the worker ended, though nothing was at stake.

    The commit is sent only after all records are acknowledged, so the transaction cannot have been committed.
    """
    script = Script(**{call: [failure(code, fatal=True)]})
    transactions = over(script)
    outs = cast("Any", OUTS)
    with pytest.raises(TransactionAbortedError):
        transactions.commit(outs, {("t.in", 3): 5}, "member", frozenset({"t.log"}))
    assert script.calls[-1] == "purge"
    (successor,) = script.successors
    assert successor.calls == ["init"]
    assert transactions.commit(outs, {("t.in", 3): 5}, "member", frozenset({"t.log"}))["t.log", 3] == 42
    assert successor.asked[:1] == ["t.out"], "the new client is not known on any partition"


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.INVALID_TXN_STATE])
def test_a_transaction_that_the_broker_ended_by_its_time_out_is_not_blamed_on_another_process(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Broker or worker stood still, or the machine was suspended: the clock counts that, too."""
    now = [100.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    script = Script(commit=[failure(code, fatal=True)])
    script.before = lambda: now.__setitem__(0, now[0] + 16)
    with pytest.raises(OutcomeUnknownError, match=r"was open for \d+ s, longer than its 20 s") as caught:
        committed(script)
    assert "another process" not in str(caught.value)


def test_a_record_may_wait_longer_than_kafka_takes_to_replace_a_lost_broker() -> None:
    """Nine seconds until the loss is noticed, by default, and some for elections; transactions take longer."""
    found = client_config.producer({}, "t.a")
    assert found["message.timeout.ms"] >= 15_000
    assert found["transaction.timeout.ms"] > found["message.timeout.ms"]
    assert found["message.timeout.ms"] / 1000 < module._FLUSH_S


def test_opening_ends_after_a_minute_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    script = Script(init=[failure(KafkaError._TIMED_OUT, retriable=True) for _ in range(100)])
    script.before = lambda: now.__setitem__(0, now[0] + 10)
    with pytest.raises(OutcomeUnknownError, match=r"cannot open transactions as t\.a"):
        over(script).open()
    assert [one.calls for one in (script, *script.successors)] == [["init"]] * 7


def test_a_member_that_the_group_does_not_know_is_told_apart() -> None:
    with pytest.raises(MemberUnknownError):
        committed(Script(offsets=[failure(KafkaError.UNKNOWN_MEMBER_ID, abort=True)]))


def test_a_failed_abort_is_unknown() -> None:
    """Seen after a broker's kill -9: the abort itself is refused, and the process has to end."""
    script = Script(
        commit=[failure(KafkaError._MSG_TIMED_OUT, abort=True)],
        abort=[failure(KafkaError.INVALID_TXN_STATE, fatal=True)],
    )
    with pytest.raises(OutcomeUnknownError, match="restart"):
        committed(script)


def test_opening_waits_for_the_broker_but_not_for_a_fence() -> None:
    """With a new client for each try: one that has lost the brokers for good is never answered."""
    waiting = Script(init=[failure(KafkaError._TIMED_OUT, retriable=True) for _ in range(5)])
    over(waiting).open()
    assert [one.calls for one in (waiting, *waiting.successors)] == [["init"]] * 6
    with pytest.raises(OutcomeUnknownError):
        over(Script(init=[failure(KafkaError._FENCED, fatal=True)])).open()


def test_a_transaction_is_stuck_when_it_takes_longer_than_it_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    script = Script()
    transactions = over(script)
    seen: list[bool] = []

    def hang() -> None:
        now[0] += client_config.TRANSACTION_TIMEOUT_S / 2
        seen.append(transactions.stuck())

    script.before = hang
    transactions.commit([], {("t.in", 0): 1}, "member", frozenset())
    assert seen == [False, False, True]  # begin, offsets and commit: what counts is their sum
    assert not transactions.stuck()


def test_calls_that_time_out_are_repeated_only_while_the_transaction_may_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call may come back just in time: two of them took 40 s, in which the partitions stood still."""
    now = [100.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    script = Script(offsets=[failure(KafkaError._TIMED_OUT, retriable=True) for _ in range(9)])

    def slow() -> None:
        now[0] += 5.0

    script.before = slow
    with pytest.raises(OutcomeUnknownError, match="open for 25 s"):
        over(script).commit(cast("Any", OUTS[1:]), {("t.in", 0): 1}, "member", frozenset())


def test_a_producer_is_asked_whether_it_has_lost_the_brokers_once_its_transaction_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    script = Script()
    transactions = over(script)
    asked: list[str] = []

    def lost(_client: object, topic: str) -> bool:
        asked.append(topic)
        return True

    monkeypatch.setattr(transactions._contact, "lost", lost)
    assert not transactions.lost()  # nothing is under way
    seen: list[bool] = []

    def slow() -> None:
        seen.append(transactions.lost())
        now[0] += 0.6

    script.before = slow
    transactions.commit(cast("Any", OUTS[1:]), {("t.in", 0): 1}, "member", frozenset())
    assert (seen[0], seen[-1]) == (False, True)
    assert set(asked) == {"t.log"}


def test_connections_end_while_a_call_waits_so_that_the_library_asks_for_the_coordinator_again() -> None:
    """Well within the time after which the call is taken for stuck."""
    assert (
        0
        < client_config.producer({}, "t.a")["connections.max.idle.ms"] / 1000
        <= client_config.TRANSACTION_TIMEOUT_S / 4
    )
