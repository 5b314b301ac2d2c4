"""One user's package in two versions, as two deployments have it: the new one has agents, a table and a reaction more.

The tests write it into folders of their own.
"""

from __future__ import annotations

from pathlib import Path

OLD = '''"""What both versions have."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from schemas import Event
from streams import Run, agent, on, table


class Noted(Event, type="rolling.noted", key="name"):
    name: str
    amount: int = 1


class Approved(Event, type="rolling.approved", key="name"):
    name: str


class Mirrored(Event, type="rolling.mirrored", key="name"):
    name: str
    amount: int


class Task(BaseModel):
    folder: str
    steps: int = 2


class Sum(BaseModel):
    events: int = 0
    total: int = 0


def leave_trace(folder: str, key: str) -> None:
    handle = os.open(Path(folder) / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{key}\\n".encode())
    finally:
        os.close(handle)


@agent
async def steady(task: Task, run: Run) -> int:
    """Do steps one after the other."""

    async def act(number: int) -> int:
        leave_trace(task.folder, run.idempotency_key)
        return number

    for number in range(task.steps):
        await run.step(act, number)
    return task.steps


@table(of=[Noted], row=Sum)
def sums(row: Sum | None, event: Noted) -> Sum:
    before = row or Sum()
    return Sum(events=before.events + 1, total=before.total + event.amount)


@table(of=[Mirrored], row=Sum)
def reflections(row: Sum | None, event: Mirrored) -> Sum:
    before = row or Sum()
    return Sum(events=before.events + 1, total=before.total + event.amount)
'''
MORE = '''

@agent
async def extra(task: Task, run: Run) -> int:
    """Do the same in the new version alone."""

    async def act(number: int) -> int:
        leave_trace(task.folder, run.idempotency_key)
        return number

    for number in range(task.steps):
        await run.step(act, number)
    return task.steps


@agent
async def patient(task: Task, run: Run) -> str:
    """Wait for an approval."""
    approved = await run.wait_for(Approved)
    return approved.name


@table(of=[Noted], row=Sum)
def extras(row: Sum | None, event: Noted) -> Sum:
    before = row or Sum()
    return Sum(events=before.events + 1, total=before.total + event.amount)


@on(Noted)
def mirror(event: Noted) -> Mirrored:
    return Mirrored(name=event.name, amount=event.amount)
'''


def deploy(folder: Path, package: str, *, more: bool) -> Path:
    """Write a version into a folder that is put on the path, and return that."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text('"""A user\'s package."""\n')
    (folder / package / "things.py").write_text(OLD + (MORE if more else ""))
    return folder
