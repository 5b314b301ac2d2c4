"""What a tool calls passes the limits of the tool that it calls, is tried again by its policy, and is recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.call import CallRecorded
from streams import Reject, Retry, RetryPolicy, tool
from streams.engine.decision import Perform
from streams.engine.messages import EffectDone
from streams.tools._call import IDEMPOTENCY_KEY, call_tool
from streams.tools._inner import inner
from streams.worker.runs.nested_calls import NestedCalls

FAST = RetryPolicy(attempts=3, first=0, cap=0)
FAILURES: list[Exception] = []


class Double(BaseModel):
    value: int


@tool(rate="5/1s", retry=FAST)
async def double(value: int, plus: int = 0) -> Double:
    """Double a number."""
    if FAILURES:
        raise FAILURES.pop(0)
    return Double(value=2 * value + plus)


@tool
async def unlimited(value: int) -> int:
    """Return a number."""
    return value


@tool
async def outer(values: list[int]) -> int:
    """Double many numbers at once."""
    found = await asyncio.gather(*(inner(double, value=value) for value in values))
    return sum(one.value for one in found) + await inner(unlimited, value=1)


class Counting:
    """Stands for the guard: notes what passes, and finds the answers that it was given."""

    def __init__(self, answers: dict[int, Any] | None = None) -> None:
        self.passed: list[Any] = []
        self.answers = answers or {}

    async def call(self, run_id: str, limited: Any, args: Any, scope: Any, begin: Any) -> tuple[Any, bool]:
        self.passed.append((run_id, limited.name, args))
        if args["value"] in self.answers:
            return self.answers[args["value"]], True
        return await begin(limited), False


def attempt() -> tuple[Perform, EffectDone]:
    perform = Perform("0.1", 0, "tool", "outer", {}, int, FAST, None, 1, False, "r1/0.1/key", tool=outer)
    return perform, EffectDone("0.1", 0, 1)


def records(report: EffectDone) -> list[CallRecorded]:
    return [call for call in report.calls if isinstance(call, CallRecorded)]


async def performed(guard: Counting, values: list[int]) -> tuple[Any, EffectDone]:
    perform, report = attempt()
    nested = NestedCalls(guard, "r1", perform, report)  # type: ignore[arg-type]
    with nested.here():
        return await call_tool(outer, {"values": values}), report


async def test_each_inner_call_passes_the_limits_and_has_its_record() -> None:
    guard = Counting()
    value, report = await performed(guard, [1, 2, 3])
    assert value == 13
    assert guard.passed == [("r1", "double", {"value": value, "plus": 0}) for value in (1, 2, 3)]
    assert sorted((call.name, call.path, call.request["value"]) for call in records(report)) == [
        ("double", "0.1#1", 1),
        ("double", "0.1#2", 2),
        ("double", "0.1#3", 3),
        ("unlimited", "0.1#4", 1),
    ]


async def test_an_answer_that_was_found_is_not_recorded_again() -> None:
    value, report = await performed(Counting({2: {"value": 100}}), [2])
    assert (value, [call.name for call in records(report)]) == (101, ["unlimited"])


async def test_a_failure_is_tried_again_by_the_inner_tools_policy() -> None:
    FAILURES[:] = [OSError("down"), Retry(after=0)]
    guard = Counting()
    value, report = await performed(guard, [4])
    assert (value, len(guard.passed)) == (9, 3)
    inner = [(one.attempt, (one.error or {}).get("type")) for one in records(report) if one.name == "double"]
    assert inner == [(1, "OSError"), (2, "Retry"), (3, None)]


@pytest.mark.parametrize(("failure", "tries"), [(Reject("never"), 1), (OSError("down"), 3)])
async def test_what_fails_for_good_is_raised_in_the_outer_tool(failure: Exception, tries: int) -> None:
    FAILURES[:] = [failure] * tries
    guard = Counting()
    with pytest.raises(type(failure)):
        await performed(guard, [4])
    assert len(guard.passed) == tries
    FAILURES.clear()


async def test_without_a_worker_the_tool_is_simply_called() -> None:
    assert await call_tool(outer, {"values": [1]}) == 3


KEYS: dict[int, list[str | None]] = {}
GATES: dict[int, asyncio.Event] = {}


@tool
async def keyed(value: int) -> int:
    """Note the key under which it is called."""
    await GATES[value].wait()
    KEYS.setdefault(value, []).append(IDEMPOTENCY_KEY.get())
    return value


@tool
async def side_by_side(order: list[int]) -> int:
    """Call in some order, at once."""
    return sum(await asyncio.gather(*(inner(keyed, value=value) for value in order)))


async def test_a_call_has_the_same_key_in_every_attempt_whatever_begins_first() -> None:
    GATES.update({value: asyncio.Event() for value in (1, 2)})
    for key_gate in GATES.values():
        key_gate.set()
    for order in ([1, 2, 1], [2, 1, 1], [1, 1, 2]):
        perform, report = attempt()
        nested = NestedCalls(Counting(), "r1", perform, report)  # type: ignore[arg-type]
        with nested.here():
            await call_tool(side_by_side, {"order": order})
    twos, ones = KEYS[2], KEYS[1]
    assert len(set(twos)) == 1
    assert [len(set(ones[at : at + 2])) for at in (0, 2, 4)] == [2, 2, 2]
    assert len(set(ones)) == 2
    assert not set(ones) & set(twos)
