"""One agent for each scenario; steps leave lines, so that a test sees how often each was done."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streams import RetryPolicy, Run, SoftTimeout, StepFailed, TimedOut, agent, chain, chord, group, seconds
from tests.apps.canvas.events import Answered
from tests.apps.limits.agents import line

ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=4, first=0.05, jitter=False)


class Place(BaseModel):
    """Where lines go; the name of their file; a number."""

    folder: str
    name: str = "effects"
    number: int = 0


class Outcome(BaseModel):
    """What a chord's callback gets."""

    total: int
    successful: int
    failed: int
    results: list[Any]


def done(place: Place) -> int:
    """Return how many lines there are after one more."""
    line(place.folder, place.name)
    return len((Path(place.folder) / place.name).read_text("utf-8").splitlines())


@agent
async def retries(place: Place, run: Run) -> int:
    """Do a step that works at the third attempt."""

    def act() -> int:
        count = done(place)
        if count < 3:
            raise ConnectionError("not yet")
        return count

    return await run.step(act, retry=QUICK)


@agent
async def timeouts(place: Place, run: Run) -> list[str]:
    """Do a step, a call and a wait that take too long, and a step that saves what it has when its time is over."""

    async def hang() -> None:
        await asyncio.Event().wait()

    async def save() -> str:
        try:
            await hang()
        except SoftTimeout:
            await asyncio.sleep(0)
        return "saved"

    found = []
    try:
        await run.step(hang, timeout=0.2, retry=ONCE)
    except StepFailed as error:
        found.append(type(error).__name__)
    try:
        await run.call(listens, place, timeout=0.2)
    except TimedOut as error:
        found.append(type(error).__name__)
    try:
        await run.wait_for("nobody", timeout=0.2)
    except TimedOut as error:
        found.append(type(error).__name__)
    found.append(await run.step(save, timeout=0.2, retry=ONCE))
    return found


@agent
async def listens(place: Place, run: Run) -> str:
    """Wait for an answer."""
    return (await run.wait_for(Answered, match=lambda event: event.about == place.name)).about


@agent
async def sleeps(place: Place, run: Run) -> float:
    """Sleep; return how long it was."""
    before = run.now()
    await run.step(done, place)
    await run.sleep(seconds(0.5))
    return (run.now() - before).total_seconds()


@agent
async def add_one(number: int, run: Run) -> int:
    """Count on."""
    return await run.step(_next, number)


def _next(number: int) -> int:
    return number + 1


@agent
async def total(numbers: list[int], run: Run) -> int:
    """Add up."""
    return await run.step(sum, numbers, pure=True, name="sum")


@agent
async def refuse(number: int, run: Run) -> int:
    """Fail."""
    return await run.step(_refuse, number, retry=ONCE)


def _refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@agent
async def merge(outcome: Outcome, run: Run) -> Any:
    """Return what came, with what failed as the kind of its error."""
    results = [one["error"]["name"] if isinstance(one, dict) else one for one in outcome.results]
    return await run.step(_same, [outcome.total, outcome.successful, outcome.failed, results], pure=True)


def _same(value: Any) -> Any:
    return value


@agent
async def calls(place: Place, run: Run) -> list[int]:
    """Call a child, and another one that nobody waits for."""
    started = await run.start(add_one, 7)
    return [await run.call(add_one, place.number), len(started) > 0]


@agent
async def waits_for_children(place: Place, run: Run) -> list[str]:
    """Call children that wait."""
    try:
        return await run.gather(*[listens.bind(place) for _ in range(3)])
    finally:
        await run.step(done, place)


@agent
async def parallel(place: Place, run: Run) -> list[int]:
    """Do three steps, each of which ends when all have begun."""
    barrier = _BARRIERS.setdefault(run.id, asyncio.Barrier(3))

    async def meet(number: int) -> int:
        await barrier.wait()
        return number

    return await run.gather(*[run.step(meet, place.number + index, timeout=10) for index in range(3)])


_BARRIERS: dict[str, asyncio.Barrier] = {}


@agent
async def outer(place: Place, run: Run) -> list[int]:
    """Do a step, then call an agent that calls one that fails until it is mended."""
    first = await run.step(done, place)
    return [first, *await run.call(middle, place)]


@agent
async def middle(place: Place, run: Run) -> list[int]:
    """Do a step and call the one below."""
    second = await run.step(done, place)
    return [second, *await run.call(inner, place)]


@agent
async def inner(place: Place, run: Run) -> list[int]:
    """Do a step, then one that fails until the file `mended` is there."""

    def depend() -> int:
        if not (Path(place.folder) / f"{place.name}.mended").exists():
            raise RuntimeError("the dependency is down")
        return 4

    third = await run.step(done, place)
    return [third, await run.step(depend, retry=ONCE)]


class Adder:
    """An object that is called as a coroutine function."""

    def __init__(self, amount: int) -> None:
        """Add `amount`."""
        self.amount = amount

    async def __call__(self, number: int) -> int:
        """Return the sum."""
        return number + self.amount


async def _add(amount: int, number: int) -> int:
    return amount + number


@agent
async def callables(place: Place, run: Run) -> list[int]:
    """Call an object, a partial, a partial of an object and a function that returns a coroutine, as steps."""
    number = place.number
    return [
        await run.step(Adder(1), number),
        await run.step(functools.partial(_add, 2), number),
        await run.step(functools.partial(Adder(3)), number),
        await run.step(lambda given: _add(4, given), number, name="lambda"),
    ]


@agent(auto_resume=3, after=0.3, concurrency_key="name")
async def stubborn(place: Place, run: Run) -> int:
    """Fail twice and go on by itself, alone under its key."""
    await run.step(_span, place, "begin")

    def depend() -> int:
        line(place.folder, f"{place.name}-tries-{place.number}", str(os.getpid()))
        if len((Path(place.folder) / f"{place.name}-tries-{place.number}").read_text("utf-8").splitlines()) < 3:
            raise RuntimeError("not yet")
        return place.number

    found = await run.step(depend, retry=ONCE)
    await run.step(_span, place, "end")
    return found


def _span(place: Place, word: str) -> None:
    line(place.folder, place.name, f"{word}-{place.number}")


class Many(BaseModel):
    """How many children."""

    children: int


@agent
async def many(task: Many, run: Run) -> int:
    """Call many children after a step; return the sum of what they gave."""
    first = await run.step(_next, 0)
    return sum(await run.gather(*[plain.bind(first + number) for number in range(task.children)]))


@agent
async def many_in_a_chord(task: Many, run: Run) -> Any:
    """Call many in a chord, two of which fail."""
    bad = (3, task.children - 1)
    members = [(refuse if number in bad else plain).bind(number) for number in range(task.children)]
    merged: Outcome = await run.call(chord(members, keep))
    return [merged.total, merged.successful, merged.failed, len(merged.results)]


@agent
async def plain(number: int, run: Run) -> int:
    """Return the number."""
    del run
    return number


@agent
async def keep(outcome: Outcome, run: Run) -> Outcome:
    """Return what came."""
    del run
    return outcome


@agent
async def canvases(word: str, run: Run) -> Any:
    """Carry out a canvas by its name."""
    return await run.call(CANVAS[word])


CANVAS: dict[str, Any] = {
    "chain": chain(add_one.bind(1), add_one, add_one),
    "chain of groups": chain(group(add_one.bind(1), add_one.bind(2)), total, add_one),
    "empty group": group(),
    "empty chord": chord(group(), merge),
    "error in a chord's member": chord(group(add_one.bind(1), refuse.bind(5), add_one.bind(2)), merge),
    "chord of chords": chord(
        group(chord(group(add_one.bind(1)), merge), chord(group(add_one.bind(2), refuse.bind(3)), merge)), merge
    ),
}


@agent
async def bulk(place: Place, run: Run) -> int:
    """Record as many long answers as the number says, then add up how long they are."""
    found = [await run.step(_long, number) for number in range(place.number)]
    await run.step(done, place)
    return sum(map(len, found))


def _long(number: int) -> str:
    return str(number % 10) * 300_000
