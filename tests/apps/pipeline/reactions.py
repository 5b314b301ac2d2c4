"""The reaction to what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams import RetryPolicy, StartRun, on
from tests.apps.pipeline.agents import Task, hold, work
from tests.apps.pipeline.events import Counted, Echoed, HoldAsked

QUICK = RetryPolicy(attempts=3, first=0.01, jitter=False)


@on(Counted, retry=QUICK)
async def echo(event: Counted) -> Any:
    """Do what the event asks for."""
    said = Echoed(name=event.name, amount=event.amount)
    if event.then == "start":
        return StartRun(work, Task(folder=event.name.partition("#")[2], steps=1))
    if event.then == "mixed":
        return [said, StartRun(work, {"steps": "not a number"})]
    if event.then == "mend" and not (Path(event.name.partition("#")[2]) / "mended").exists():
        raise RuntimeError("the dependency is down")
    if event.then == "fail":
        raise RuntimeError("this event cannot be handled")
    return None if event.then == "nothing" else said


@on(HoldAsked)
def held(event: HoldAsked) -> Echoed:
    """Hold the thread and then say so: a plain function, as one writes it who has a slow library."""
    hold(event.how, event.seconds)
    return Echoed(name=event.name, amount=1)
