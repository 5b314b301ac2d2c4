"""Shared answers: equal calls are one call, on one worker and over several."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson
import pytest

from streams.limits import single_flight as module
from streams.limits.peers import HomeAwayError
from streams.limits.shared_answers import SharedAnswerHome
from streams.limits.single_flight import Confirm, SharedCall, SingleFlight
from streams.runtime.errors import DeadAssignmentError
from tests.unit.limits.fakes import Committer, Owned, Tasks, turns

CALL = SharedCall("hash", 60.0, 30.0)


class Workers:
    """A home and workers that ask it."""

    def __init__(self, count: int = 2) -> None:
        self.owned = Owned()
        self.answers = SharedAnswerHome(cast("Any", self.owned), cast("Any", Committer()))
        self.tasks = Tasks()
        self.lost: set[str] = set()  # processes that own no run any more
        self.shared_calls = [self.process(f"w{number}") for number in range(count)]
        self.calls = 0
        self.go = asyncio.Event()
        self.fails = 0

    def process(self, name: str) -> SingleFlight:
        async def prove(_run_id: str) -> None:
            if name in self.lost:
                raise DeadAssignmentError(f"{name} is a member no more")

        return SingleFlight(self.ask, self.tasks.spawn, name, prove)

    async def sure(self, _run_id: str) -> None:
        """Own every run."""

    async def ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["do"] == "ask":
            return await self.answers.ask(call, body["holder"], body["seconds"], body["run_id"])
        if body["do"] == "put":
            return await self.answers.put(call, body["value"], body["ttl"], body["holder"])
        return self.answers.fail(call, body["holder"])

    async def compute(self, _confirm: Confirm) -> tuple[Any, bool]:
        self.calls += 1
        await self.go.wait()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no luck")
        return {"n": self.calls}, False


async def test_a_hundred_equal_calls_on_two_workers_are_one() -> None:
    made = Workers()
    tasks = [made.tasks.spawn(made.shared_calls[number % 2].through(CALL, made.compute)) for number in range(100)]
    await turns(lambda: made.calls == 1)
    made.go.set()
    found = await asyncio.gather(*tasks)
    assert made.calls == 1
    assert [value for value, _ in found] == [{"n": 1}] * 100
    assert sum(recorded for _, recorded in found) == 99


async def test_an_answer_is_found_later_and_elsewhere() -> None:
    made = Workers()
    made.go.set()
    assert await made.shared_calls[0].through(CALL, made.compute) == ({"n": 1}, False)
    assert await made.shared_calls[1].through(CALL, made.compute) == ({"n": 1}, True)


async def test_an_answer_whose_time_is_over_is_made_again() -> None:
    made = Workers()
    made.go.set()
    await made.shared_calls[0].through(SharedCall("hash", -1.0, 30.0), made.compute)
    assert await made.shared_calls[0].through(CALL, made.compute) == ({"n": 2}, False)


async def test_a_failure_is_told_to_those_who_waited_here_and_another_worker_tries() -> None:
    made = Workers()
    made.fails = 1
    here = [made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute)) for _ in range(5)]
    await turns(lambda: made.calls == 1)
    there = made.tasks.spawn(made.shared_calls[1].through(CALL, made.compute))
    made.go.set()
    assert [str(one) for one in await asyncio.gather(*here, return_exceptions=True)] == ["no luck"] * 5
    assert await there == ({"n": 2}, False)


async def test_when_the_caller_is_cancelled_the_next_one_calls() -> None:
    made = Workers(1)
    first = made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute))
    await turns(lambda: made.calls == 1)
    second = made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute))
    first.cancel()
    await turns(lambda: made.calls == 2)
    made.go.set()
    assert await second == ({"n": 2}, False)


async def test_a_lease_ends_by_its_time_at_the_latest() -> None:
    made = Workers(1)
    assert await made.answers.ask("hash", "old version", 0.01) == {"compute": True}
    made.go.set()
    assert await made.shared_calls[0].through(CALL, made.compute) == ({"n": 1}, False)


async def test_the_new_owner_of_a_run_has_its_lease_at_once() -> None:
    """The former owner was killed: nothing is told, its group has not expelled it, and its lease lasts for a minute."""
    made = Workers(2)
    assert await made.answers.ask("hash", "dead#1", 60.0, "run-1") == {"compute": True}
    made.go.set()
    found = made.tasks.spawn(made.shared_calls[1].through(CALL._replace(run_id="run-1"), made.compute))
    await turns(found.done)
    assert await found == ({"n": 1}, False)


async def test_other_runs_wait_for_a_lease_until_its_holder_is_gone() -> None:
    made = Workers(2)
    assert await made.answers.ask("hash", "dead#1", 60.0, "run-1") == {"compute": True}
    made.go.set()
    waiting = [
        made.tasks.spawn(one.through(CALL._replace(run_id=f"run-{number}"), made.compute))
        for number, one in enumerate(made.shared_calls, 2)
    ]
    await settled()
    assert not any(one.done() for one in waiting)
    assert made.answers.holders() == {"dead"}
    made.answers.left("dead")
    assert sorted(await asyncio.gather(*waiting), key=lambda one: one[1]) == [({"n": 1}, False), ({"n": 1}, True)]
    assert made.answers.holders() == set()


async def test_a_late_answer_is_not_taken_from_who_has_lost_its_lease() -> None:
    made = Workers(1)
    await made.answers.ask("hash", "paused#1", 60.0, "run-1")
    made.answers.left("paused")
    late = await made.answers.put("hash", "late", 60.0, "paused#1")
    assert late["kept"] is False
    await made.answers.ask("hash", "w0#9", 60.0, "run-1")
    assert (await made.answers.put("hash", "late", 60.0, "paused#1"))["kept"] is False
    assert made.answers.holders() == {"w0"}, "the lease is still the other one's"
    assert (await made.answers.put("hash", "true", 60.0, "w0#9"))["kept"] is True
    assert (await made.answers.put("hash", "late", 60.0, "paused#1"))["kept"] is False
    assert await made.answers.ask("hash", "w0#10", 60.0, "run-2") == {"hit": True, "value": "true"}


async def test_an_answer_counts_at_a_home_that_does_not_know_its_lease() -> None:
    made = Workers(1)
    assert (await made.answers.put("hash", "made", 60.0, "w7#1"))["kept"] is True


async def test_who_has_lost_its_run_neither_takes_a_lease_nor_gives_an_answer() -> None:
    made = Workers(2)
    run = CALL._replace(run_id="run-1")
    paused = made.tasks.spawn(made.shared_calls[0].through(run, made.compute))
    await turns(lambda: made.calls == 1)
    made.lost.add("w0")
    new = made.tasks.spawn(made.shared_calls[1].through(run, made.compute))
    await turns(lambda: made.calls == 2)
    with pytest.raises(DeadAssignmentError):
        await made.shared_calls[0].through(run._replace(call="other"), made.compute)
    assert made.answers.holders() == {"w1"}
    made.go.set()
    await asyncio.gather(paused, new)
    await made.tasks.over()
    row = made.owned.store.rows[b"c/hash"]
    assert orjson.loads(row.partition(b" ")[2]) == (await new)[0]


async def test_who_has_lost_its_run_leaves_those_who_wait_beside_it_to_lead() -> None:
    made = Workers(1)
    first = made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute))
    await turns(lambda: made.calls == 1)
    second = made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute))
    await settled()

    async def gone(_confirm: Confirm) -> tuple[Any, bool]:
        raise HomeAwayError("the run goes on elsewhere")

    first.cancel()
    third = made.tasks.spawn(made.shared_calls[0].through(CALL._replace(call="b"), gone))
    fourth = made.tasks.spawn(made.shared_calls[0].through(CALL._replace(call="b"), made.compute))
    made.go.set()
    with pytest.raises(HomeAwayError):
        await third
    assert not (await second)[1]
    assert not (await fourth)[1]
    made.tasks.tasks -= {first, third}


async def test_a_question_that_is_given_up_while_it_waits_gets_no_lease() -> None:
    """The home holds a question for twenty seconds, and who asked does not hear an answer that comes later."""
    made = Workers(2)
    leader = made.tasks.spawn(made.shared_calls[0].through(CALL, made.compute))
    await turns(lambda: made.calls == 1)
    there = asyncio.Event()

    async def ask(call: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["do"] != "ask":
            return await made.ask(call, body)
        home = made.tasks.spawn(made.ask(call, body))
        there.set()
        answer: dict[str, Any] = await asyncio.shield(home)  # a server goes on when its client has gone
        return answer

    async def prove(_run_id: str) -> None:
        return

    waiting = made.tasks.spawn(SingleFlight(ask, made.tasks.spawn, "w9", prove).through(CALL, made.compute))
    await there.wait()
    await settled()
    waiting.cancel()
    await settled()
    leader.cancel()
    await settled()
    assert made.answers.holders() == set()
    made.go.set()
    assert await made.shared_calls[1].through(CALL, made.compute) == ({"n": 2}, False)
    made.tasks.tasks -= {leader, waiting}


async def settled() -> None:
    """Let all messages arrive."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_too_large_an_answer_is_not_kept() -> None:
    made = Workers()
    assert await made.answers.put("hash", "x" * 600_000, 60.0) == {"kept": False}
    assert made.owned.store.rows == {}


async def test_an_answer_whose_home_is_on_the_move_is_known_in_its_worker_meanwhile() -> None:
    """A home that moves for longer than a call waits for it: the call is made, and runs that come here share it."""
    made, away = Workers(1), [True]
    home = made.ask

    async def ask(call: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"away": True} if away[0] else await home(call, body)

    shared_calls = SingleFlight(ask, made.tasks.spawn, "w0", made.sure)
    made.go.set()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "PATIENCE_S", 0.0)
        assert await shared_calls.through(CALL, made.compute) == ({"n": 1}, False)
    assert await shared_calls.through(CALL, made.compute) == ({"n": 1}, True)
    away[0] = False
    await turns(lambda: not shared_calls._undelivered)
    assert made.calls == 1
    assert await shared_calls.through(CALL, made.compute) == ({"n": 1}, True)  # the home has it
    assert made.calls == 1
