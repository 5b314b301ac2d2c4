"""What a step may call besides a function: partials, methods, objects, what returns a coroutine."""

from __future__ import annotations

import functools

from streams import Run, agent
from streams.testing import run_agent


class Adder:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    async def __call__(self, number: int) -> int:
        return number + self.amount

    def method(self, number: int) -> int:
        return number * self.amount


class Plain:
    def __call__(self, number: int) -> int:
        return -number


async def add(amount: int, number: int) -> int:
    return amount + number


@agent
async def calls(number: int, run: Run) -> list[int]:
    return [
        await run.step(Adder(1), number),
        await run.step(Plain(), number),
        await run.step(functools.partial(add, 2), number),
        await run.step(functools.partial(add, number=number), 3),
        await run.step(functools.partial(functools.partial(Adder(4)), number)),
        await run.step(Adder(5).method, number),
        await run.step(lambda given: add(6, given), number, name="lambda"),
    ]


def test_whatever_can_be_called_can_be_a_step() -> None:
    ended = run_agent(calls, 10)
    assert ended.value() == [11, -10, 12, 13, 14, 50, 16]
    names = [line["name"] for line in ended.history if line["kind"] == "step"]
    assert names == ["Adder", "Plain", "add", "add", "Adder", "Adder.method", "lambda"]
