"""The consumer's thread without a broker: credit, and what becomes of a slice that is renewed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from streams.worker.log import config
from streams.worker.log.consumer import ConsumerThread
from streams.worker.state.slice import Slice
from tests.unit.worker._fakes import owned_slice


class Notes:
    """A handler that notes what it is told."""

    def __init__(self) -> None:
        self.gone: list[Slice] = []

    def died(self, gone: Sequence[Slice]) -> None:
        self.gone += gone


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def thread(notes: Notes) -> Iterator[ConsumerThread]:
    settings = config.consumer({"bootstrap.servers": "127.0.0.1:1"}, "g")
    made = ConsumerThread(settings, cast("Any", notes), lambda _text: None)
    yield made
    made._consumer.close()


def test_the_successor_of_a_slice_that_was_revoked_meanwhile_ends_at_once(
    thread: ConsumerThread, notes: Notes, tmp_path: Path
) -> None:
    """Alive and never published, its units would hold up the group commit for ever."""
    old, new = owned_slice(tmp_path, 0), owned_slice(tmp_path / "new", 0)
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
    thread._taken = 30_000
    assert thread._taken - thread._released > 20_000
    thread._stalled = True
    thread.release(10_000)
    assert not thread._credit.is_set()
    thread.release(10_001)
    assert thread._credit.is_set()
    assert thread._hold_back() == []


def test_a_stop_is_clean_also_when_the_library_stumbles_over_its_own_close(
    thread: ConsumerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in a drained worker; a failure would have been told to the handler, which has no such method here."""

    class Stumbling:
        def close(self) -> None:
            raise SystemError("_PyErr_SetObject: exception <class 'str'> is not a BaseException subclass")

    warned: list[str] = []
    real = thread._consumer
    thread._warn = warned.append
    thread._halt = True
    thread._consumer = cast("Any", Stumbling())
    thread._run()
    thread._consumer = real
    assert len(warned) == 1
