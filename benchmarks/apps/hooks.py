"""Webhooks whose agents note, as their first line, how long ago the delivery was sent."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel

from schemas import Event
from schemas.github import GithubIssueCommentCreated
from streams import Delivery, Run, StartRun, agent, hmac_sha256, on, source

SIGNED = hmac_sha256("x-signature")
NOTES = "BENCHMARK_NOTES"


class Sent(BaseModel):
    """When a delivery was sent, by the machine's monotonic clock (ns)."""

    number: int
    sent_ns: int


class HookCame(Event, type="benchmark.hook_came", key="number"):
    """A delivery, on the bus."""

    number: int
    sent_ns: int


def note(way: str, sent: Sent) -> None:
    """Append one line: the way, the number, nanoseconds."""
    took = time.monotonic_ns() - sent.sent_ns
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{way} {sent.number} {took}\n")


@agent
async def at_once(sent: Sent, run: Run) -> int:
    """Note a run that the source itself has started."""
    note("source", sent)
    del run
    return sent.number


@agent
async def by_event(sent: Sent, run: Run) -> int:
    """Note a run that a reaction to the source's event has started."""
    note("event", sent)
    del run
    return sent.number


@agent
async def by_comment(sent: Sent, run: Run) -> int:
    """Note a run that a reaction to GitHub's event has started."""
    note("github", sent)
    del run
    return sent.number


@source(verify=SIGNED, once_per="x-delivery")
def hook_at_once(delivery: Delivery) -> StartRun:
    """Start the agent."""
    return StartRun(at_once, Sent(**delivery.json))


@source(verify=SIGNED, once_per="x-delivery")
def hook_by_event(delivery: Delivery) -> HookCame:
    """Say what came."""
    return HookCame(**delivery.json)


@on(HookCame)
async def hook_came(event: HookCame) -> StartRun:
    """Start the agent."""
    return StartRun(by_event, Sent(number=event.number, sent_ns=event.sent_ns))


@on(GithubIssueCommentCreated)
async def commented(event: GithubIssueCommentCreated) -> StartRun:
    """Start the agent for what is written in the comment."""
    number, sent_ns = event.body.split()[:2]
    return StartRun(by_comment, Sent(number=int(number), sent_ns=int(sent_ns)))
