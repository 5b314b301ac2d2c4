"""A worker that its group does without ends with the reason: by its commits, or by asking the coordinator."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams import clock
from streams.runtime import group_members
from streams.runtime.errors import MemberRefusedError, MembershipLostError, MemberUnknownError
from streams.runtime.member_refusals import REFUSED_S, UNKNOWN_S, MemberRefusals
from streams.runtime.membership import JOIN_S, MISSING_S, MembershipWatch
from streams.worker.readiness import missing
from tests.unit.runtime._fakes import Bench, Committed, FakeOwner, FakeTransactions, owned_assignment, saying


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that only sleeps move."""
    at = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: at[0])
    monkeypatch.setattr(clock, "boottime", lambda: at[0])
    return at


@pytest.fixture
def pauses(now: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what the committer slept, without the time that it takes."""
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


async def test_a_group_that_does_not_know_the_worker_any_more_ends_it_with_the_reason(
    tmp_path: Path, pauses: list[float]
) -> None:
    """The library has not noticed and never will: to send again would go on for ever, ten times a second."""
    one = owned_assignment(tmp_path)
    tries = 0

    def judge(_asked: Committed) -> None:
        nonlocal tries
        tries += 1
        assert tries < 100, "it goes on for ever"
        raise MemberUnknownError("Broker: Unknown member")

    bench = Bench(FakeTransactions(judge), FakeOwner(one))
    await bench.through(saying(one, b"x"))
    (crash,) = bench.crashes
    assert isinstance(crash, MembershipLostError)
    assert "refuses this worker for 7 s (Broker: Unknown member)" in str(crash)
    assert "started again" in str(crash)
    waited = [pause for pause in pauses if pause]
    assert UNKNOWN_S < sum(waited) < UNKNOWN_S + 2
    assert waited[:5] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert max(waited) == 1.0


async def test_a_worker_whose_partitions_were_taken_away_meanwhile_goes_on(tmp_path: Path, pauses: list[float]) -> None:
    """That is how the library tells that it has noticed; what is still ours gets all the time again."""
    kept = owned_assignment(tmp_path, 0)
    others = [owned_assignment(tmp_path, number) for number in range(1, 9)]
    owner = FakeOwner(kept, *others)

    def one_goes() -> None:
        if len(pauses) % 5 == 0 and others:
            others.pop().kill()

    owner.on_next = one_goes

    def judge(_asked: Committed) -> None:
        if others:
            raise MemberUnknownError("Broker: Unknown member")

    log = FakeTransactions(judge)
    bench = Bench(log, owner)
    await bench.through(*(saying(one, b"lost") for one in others), saying(kept, b"x"))
    assert bench.crashes == []
    assert log.values == [b"x"]
    assert sum(pauses) > UNKNOWN_S


def test_a_former_epoch_may_last_longer_than_an_unknown_member(now: list[float]) -> None:
    """A group in which workers come and go gives new epochs all the time, and a heartbeat takes five seconds."""
    refusals = MemberRefusals()
    while now[0] < 1000 + REFUSED_S:
        now[0] += refusals.another(MemberRefusedError("stale"))
    refusals.over()
    refusals.another(MemberRefusedError("stale"))
    now[0] += REFUSED_S + 1
    with pytest.raises(MembershipLostError):
        refusals.another(MemberRefusedError("stale"))


class Group:
    """A worker without partitions, and what the coordinator says of its group."""

    def __init__(self, now: list[float]) -> None:
        self.now = now
        self.proven = False
        self.answer: frozenset[str] | None = frozenset({"me"})
        self.crashes: list[Exception] = []
        committer = SimpleNamespace(proven=lambda: self.proven)
        settings = SimpleNamespace(client={}, group="streams.default")
        self.runtime = SimpleNamespace(
            committer=committer,
            member="me",
            settings=settings,
            assignments={},
            assigned=frozenset(),
            opened=SimpleNamespace(is_set=lambda: True),
            ownership=SimpleNamespace(restoring=False),
        )
        self.membership = MembershipWatch(cast("Any", self.runtime), self.crashes.append)
        self.membership._members = cast("Any", SimpleNamespace(of=self._of))

    def _of(self, group: str) -> frozenset[group_members.GroupMember] | None:
        assert group == "streams.default"
        return None if self.answer is None else frozenset(group_members.GroupMember(one, "") for one in self.answer)

    async def passes(self, seconds: float) -> None:
        """Let so much time go by, with a look every two seconds."""
        for _ in range(round(seconds / 2)):
            self.now[0] += 2
            await self.membership.look()

    def readiness(self) -> str | None:
        """Return what /readyz says."""
        quiet = cast("Any", SimpleNamespace(trouble=None))
        return missing(cast("Any", self.runtime), quiet, self.membership, quiet, 0.0)


@pytest.fixture
def group(now: list[float]) -> Group:
    return Group(now)


async def test_a_worker_without_partitions_that_the_group_does_without_is_not_ready_and_ends(group: Group) -> None:
    """It commits nothing, so nothing refuses it."""
    await group.passes(10)
    assert (group.membership.trouble, group.readiness(), group.crashes) == (None, None, [])
    group.answer = frozenset({"another"})
    await group.passes(4)
    assert "has not had this worker for 2 s" in (group.readiness() or "")
    assert group.crashes == []
    await group.passes(MISSING_S)
    assert isinstance(group.crashes[0], MembershipLostError)
    assert "consumer group streams.default has not had this worker for 8 s" in str(group.crashes[0])


async def test_a_worker_that_is_taken_in_again_goes_on(group: Group) -> None:
    await group.passes(4)
    for _ in range(10):
        group.answer = frozenset()
        await group.passes(4)
        group.answer = frozenset({"me"})
        await group.passes(2)
    assert (group.readiness(), group.crashes) == (None, [])


async def test_a_broker_that_does_not_answer_accuses_nobody_but_is_not_ready(group: Group) -> None:
    await group.passes(4)
    group.answer = None
    await group.passes(600)
    assert group.crashes == []
    assert group.readiness() == "the broker does not say who is in the consumer group"


async def test_the_first_join_may_take_a_minute(group: Group) -> None:
    group.answer = frozenset()
    await group.passes(JOIN_S)
    assert group.crashes == []
    await group.passes(4)
    assert isinstance(group.crashes[0], MembershipLostError)


async def test_a_worker_that_commits_or_leaves_is_not_asked_for(group: Group) -> None:
    group.answer = frozenset()
    group.proven = True
    await group.passes(60)
    group.proven, group.runtime.member = False, None
    await group.passes(60)
    assert (group.membership.trouble, group.crashes) == (None, [])


class Coordinator:
    """What describes a group: ids of members, or an error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.clients = 0

    def client(self, *_: Any, **__: Any) -> Any:
        self.clients += 1
        return self

    def describe_consumer_groups(self, groups: list[str], **_: Any) -> dict[str, Any]:
        future: Future[Any] = Future()
        if isinstance(self.answer, int):
            future.set_exception(KafkaException(KafkaError(self.answer)))
        else:
            future.set_result(SimpleNamespace(members=[_member(one) for one in self.answer]))
        return dict.fromkeys(groups, future)


def _member(name: str) -> Any:
    return SimpleNamespace(member_id=name, client_id=f"client {name}")


@pytest.mark.parametrize(
    ("answer", "ids", "clients"),
    [
        (["a", "b"], {"a", "b"}, 1),
        (KafkaError.GROUP_ID_NOT_FOUND, set(), 1),  # a group that nobody is in may be gone
        (KafkaError.COORDINATOR_NOT_AVAILABLE, None, 2),
        (KafkaError._TIMED_OUT, None, 2),
    ],
)
def test_the_coordinators_answer_is_told_and_a_client_that_gets_none_is_replaced(
    monkeypatch: pytest.MonkeyPatch, answer: Any, ids: set[str] | None, clients: int
) -> None:
    coordinator = Coordinator(answer)
    monkeypatch.setattr(group_members, "AdminClient", coordinator.client)
    asked = group_members.GroupMembers({})
    found = None if ids is None else {group_members.GroupMember(name, f"client {name}") for name in ids}
    assert [asked.of("g"), asked.of("g")] == [found, found]
    assert coordinator.clients == clients
