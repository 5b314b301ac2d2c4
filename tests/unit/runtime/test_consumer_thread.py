"""The consumer's thread without a broker: credit, and what becomes of an assignment that is renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition

from streams.runtime import client_config
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.consumer_thread import ConsumerThread
from tests.unit.runtime._fakes import owned_assignment


class Notes:
    """A handler that notes what it is told."""

    def __init__(self) -> None:
        self.gone: list[PartitionAssignment] = []
        self.failures: list[Exception] = []
        self.came: list[PartitionAssignment] = []

    def assigned(self, owned: PartitionAssignment) -> None:
        self.came.append(owned)

    def died(self, gone: Sequence[PartitionAssignment]) -> None:
        self.gone += gone

    def failed(self, error: Exception) -> None:
        self.failures.append(error)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def thread(notes: Notes) -> Iterator[ConsumerThread]:
    client = {"bootstrap.servers": "127.0.0.1:1"}
    settings, fetching = client_config.consumer(client, "g"), client_config.fetcher(client, "g")
    made = ConsumerThread(settings, fetching, cast("Any", notes))
    yield made
    made._consumer.close()
    made._fetcher.close()


def test_the_successor_of_a_slice_that_was_revoked_meanwhile_ends_at_once(
    thread: ConsumerThread, notes: Notes, tmp_path: Path
) -> None:
    """Alive and never published, its units would hold up the group commit for ever."""
    old, new = owned_assignment(tmp_path, 0), owned_assignment(tmp_path / "new", 0)
    thread._renew(old, new)
    assert not new.live
    assert notes.gone == [new]


def test_a_callback_after_publishing_waits_for_a_whole_turn(thread: ConsumerThread) -> None:
    """The pair that is published in the turn that is under way may be older than the question."""
    called: list[bool] = []
    thread.after_publish(lambda: called.append(True))
    thread._commands.get()()
    assert called == []
    thread._commands.get()()
    assert called == [True]


def test_without_credit_the_thread_holds_back_until_enough_is_released(thread: ConsumerThread) -> None:
    thread._taken = taken = 100 * 1024 * 1024
    thread._stalled = True
    thread.release(taken // 2)
    assert not thread._credit.is_set()
    thread.release(taken // 2)
    assert thread._credit.is_set()
    assert thread._hold_back() == []


class Ending:
    """A consumer whose group ends while it closes, as the library's does when the broker is away."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        self._on_close = on_close
        self.calls: list[str] = []

    def close(self) -> None:
        self._on_close()

    def pause(self, _partitions: object) -> None:
        self.calls.append("pause")

    def incremental_unassign(self, _partitions: object) -> None:
        self.calls.append("unassign")

    def consumer_group_metadata(self) -> object:
        raise RuntimeError("Consumer group metadata not available")


def test_a_stop_while_the_broker_is_away_is_clean_and_frees_what_was_owned(
    thread: ConsumerThread, notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says nothing of the group any more once the partitions are given back; nothing may commit then."""
    owned = owned_assignment(tmp_path, 0)
    thread._assignments[0] = owned
    places = [TopicPartition("t.signals", 0)]
    ending = cast("Any", Ending(lambda: thread._recording_failure(thread._on_lost)(ending, places)))
    monkeypatch.setattr(thread, "_consumer", ending)
    thread._halt = True
    thread._run()
    assert ending.calls == ["unassign"]
    assert notes.gone == [owned]
    assert not owned.live
    assert (thread.snapshot.metadata, thread.snapshot.live) == (None, frozenset())


def test_what_a_rebalance_callback_raises_ends_the_thread_as_it_is(
    thread: ConsumerThread, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(_consumer: object, _partitions: object) -> None:
        raise RuntimeError("as it is")

    monkeypatch.setattr(thread, "_consumer", Ending(lambda: thread._recording_failure(raises)(cast("Any", None), [])))
    thread._halt = True
    thread._run()
    assert [str(error) for error in notes.failures] == ["as it is"]


class Recording:
    """A consumer that notes the calls that move partitions."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[tuple[str, int, int]]]] = []

    def __getattr__(self, name: str) -> Callable[[list[TopicPartition]], None]:
        def called(partitions: list[TopicPartition]) -> None:
            self.calls.append((name, [(one.topic, one.partition, one.offset) for one in partitions]))

        return called

    def consumer_group_metadata(self) -> object:
        return "member"


def test_a_number_is_whole_with_the_one_topic_that_all_members_subscribe_to(
    thread: ConsumerThread, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever topics this worker's code handles: others of its pool may handle others, and none waits for a part."""
    group, fetcher = Recording(), Recording()
    monkeypatch.setattr(thread, "_consumer", group)
    monkeypatch.setattr(thread, "_fetcher", fetcher)
    thread._topics, thread._subscription = ("agents.new", "events", "signals"), "signals"
    thread._on_assign(cast("Any", group), [TopicPartition("signals", 3)])
    (owned,) = notes.came
    assert (owned.partition, list(owned.sources)) == (3, ["agents.new", "events", "signals"])
    assert thread.numbers == {3}
    assert [name for name, _ in group.calls] == ["incremental_assign", "pause"], "the member itself fetches nothing"
    assert fetcher.calls == []
    for offset, source in enumerate(owned.sources.values(), 7):
        source.applied = offset
    thread._begin(owned)
    assert fetcher.calls == [("incremental_assign", [("agents.new", 3, 7), ("events", 3, 8), ("signals", 3, 9)])]
    assert owned.ready
    thread._on_lost(cast("Any", group), [TopicPartition("signals", 3)])
    assert [name for name, _ in fetcher.calls] == ["incremental_assign", "incremental_unassign"]
    assert (notes.gone, thread.numbers, thread._sources) == ([owned], frozenset(), {})
    monkeypatch.undo()


def test_a_slice_that_goes_before_it_is_restored_was_never_fetched(
    thread: ConsumerThread, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, fetcher = Recording(), Recording()
    monkeypatch.setattr(thread, "_consumer", group)
    monkeypatch.setattr(thread, "_fetcher", fetcher)
    thread._topics = ("events", "signals")
    thread._on_assign(cast("Any", group), [TopicPartition("signals", 0)])
    thread._on_lost(cast("Any", group), [TopicPartition("signals", 0)])
    thread._begin(notes.came[0])
    assert fetcher.calls == []
    monkeypatch.undo()
