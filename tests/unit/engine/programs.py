"""Random workflow programs for the property test: a small language and the agent that runs it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from schemas import Event
from streams import RetryPolicy, Run, StepFailed, agent

Program: TypeAlias = "list[Any]"  # JSON, so that it can be an agent's input: [word, *operands]

ATTEMPTS = RetryPolicy(attempts=3, first=1, factor=2, jitter=True)


class Noted(Event, type="test.noted", key="about"):
    about: str
    number: int


LEAVES: dict[str, Callable[[random.Random], list[Any]]] = {
    "step": lambda draw: [draw.randrange(10)],
    "pure": lambda draw: [draw.randrange(10)],
    "flaky": lambda draw: [draw.randrange(10), draw.randrange(4)],
    "sleep": lambda draw: [draw.randrange(1, 90)],
    "emit": lambda draw: [draw.randrange(10)],
    "progress": lambda draw: [draw.randrange(101)],
    "random": lambda draw: [],
    "start": lambda draw: [draw.randrange(10)],
    "wait": lambda draw: [draw.randrange(1, 60)],
}
NESTS = ("seq", "gather", "gather", "call", "try", "stage")
FRAGILE_LEAVES = LEAVES | {"flaky": lambda draw: [draw.randrange(10), 1], "fragile": lambda draw: [draw.randrange(10)]}
del FRAGILE_LEAVES["random"]  # it depends on the run's id, and a child that is called after a resume has another
FRAGILE_NESTS = ("seq", "all", "all", "call", "stage")


def program_of(seed: int, size: int) -> Program:
    """Return a program of about `size` operations that ends by itself, the same for the same seed."""
    return ["seq", _drawn(random.Random(seed), size, LEAVES, NESTS), ["step", 1]]


def listening(program: Program, numbers: Iterator[int]) -> Program:
    """Return the program with its own waits, not those of children, made into waits for a numbered signal."""
    word, *operands = program
    if word == "wait":
        return ["listen", next(numbers)]
    if word == "call":
        return program
    return [word, *(listening(one, numbers) if isinstance(one, list) else one for one in operands)]


def fragile_program_of(seed: int, size: int) -> Program:
    """Return a program whose fragile steps fail the run, each once, until it is resumed."""
    return ["seq", _drawn(random.Random(seed), size, FRAGILE_LEAVES, FRAGILE_NESTS), ["step", 1]]


def _drawn(draw: random.Random, size: int, leaves: dict[str, Any], nests: tuple[str, ...]) -> Program:
    if size <= 1:
        word = draw.choice(list(leaves))
        return [word, *leaves[word](draw)]
    word = draw.choice(nests)
    if word not in ("seq", "gather", "all"):
        return [word, _drawn(draw, size - 1, leaves, nests)]
    parts = draw.randint(1, min(4, size))
    return [word, *(_drawn(draw, size // parts, leaves, nests) for _ in range(parts))]


class Outside:
    """What steps do to the world: counted per idempotency key; a flaky one fails its first attempts."""

    attempt: Callable[[], int] = staticmethod(lambda: 1)
    breaks: Callable[[], bool] = staticmethod(lambda: False)


def effect(number: int) -> int:
    return number + 1


def fragile(number: int) -> int:
    if Outside.breaks():
        raise ConnectionError("broken until it is resumed")
    return number + 100


def flaky(number: int, failures: int) -> int:
    if Outside.attempt() <= failures:
        raise ConnectionError(f"attempt {Outside.attempt()}")
    return number + 10


@agent(retry=ATTEMPTS)
async def leaf(number: int, run: Run) -> int:
    return await run.step(effect, number)


@agent(retry=ATTEMPTS)
async def interpreter(program: list[Any], run: Run) -> Any:
    return await interpret(program, run)


async def interpret(program: list[Any], run: Run) -> Any:
    word, *operands = program
    return await WORDS[word](run, *operands)


async def _step(run: Run, number: int) -> Any:
    return await run.step(effect, number)


async def _pure(run: Run, number: int) -> Any:
    return await run.step(effect, number, pure=True)


async def _flaky(run: Run, number: int, failures: int) -> Any:
    return await run.step(flaky, number, failures)


async def _fragile(run: Run, number: int) -> Any:
    return await run.step(fragile, number, retry=RetryPolicy(attempts=1))


async def _all(run: Run, *parts: Any) -> Any:
    return await run.gather(*[interpret(part, run) for part in parts])


async def _sleep(run: Run, seconds: int) -> Any:
    await run.sleep(seconds)
    return "slept"


async def _emit(run: Run, number: int) -> Any:
    await run.emit(Noted(about=run.id, number=number))
    return number


async def _progress(run: Run, percent: int) -> Any:
    await run.progress("going on", percent)
    return percent


async def _random(run: Run) -> Any:
    return await run.step(effect, int(run.random() * 1000))


async def _start(run: Run, number: int) -> Any:
    return await run.start(leaf, number)


async def _wait(run: Run, seconds: int) -> Any:
    try:
        return await run.wait_for("nothing", timeout=seconds)
    except TimeoutError:
        return "nobody"


async def _listen(run: Run, number: int) -> Any:
    heard = await run.wait_for("word", lambda word: word["number"] == number)
    return heard["number"]


async def _seq(run: Run, *parts: Any) -> Any:
    return [await interpret(part, run) for part in parts]


async def _gather(run: Run, *parts: Any) -> Any:
    found = await run.gather(*[interpret(part, run) for part in parts], return_exceptions=True)
    return [type(one).__name__ if isinstance(one, Exception) else one for one in found]


async def _call(run: Run, inner: Any) -> Any:
    return await run.call(interpreter, inner)


async def _try(run: Run, inner: Any) -> Any:
    try:
        return await interpret(inner, run)
    except StepFailed as error:
        return await run.step(effect, len(error.name))


async def _stage(run: Run, inner: Any) -> Any:
    async with run.stage("STAGE"):
        return await interpret(inner, run)


WORDS: dict[str, Callable[..., Any]] = {
    "step": _step,
    "pure": _pure,
    "flaky": _flaky,
    "fragile": _fragile,
    "all": _all,
    "sleep": _sleep,
    "emit": _emit,
    "progress": _progress,
    "random": _random,
    "start": _start,
    "wait": _wait,
    "listen": _listen,
    "seq": _seq,
    "gather": _gather,
    "call": _call,
    "try": _try,
    "stage": _stage,
}
