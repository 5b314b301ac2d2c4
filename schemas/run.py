"""The life of a run as others see it: submitted to its agent's queue, started, and ended in one of three ways."""

import re
from typing import Final

from schemas.event import Event
from schemas.values import Json

RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@~+-]{0,127}")
"""Ids of runs stand in paths of URLs and in keys of the journal, where a slash separates."""


ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
GONE: Final = "expired"
"""The status of a run whose journal was deleted: it has ended, and nothing can be done with it any more."""
OVER: Final = ENDED | {GONE}
CLOSED: Final = OVER - {"failed"}
"""Only a failed run can be resumed."""
STATUSES: Final = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")


class RunSubmitted(Event, type="run.submitted", key="run_id"):
    """A run was asked for; written to the agent's queue.

    Times are milliseconds since the epoch: ``deadline_ms`` is when the run must have ended, ``not_before_ms`` when it
    may start. ``parent`` is the run that called it, at ``parent_path`` of its journal in ``parent_pool``; ``schedule``
    is the schedule that started it and gets its ending. ``history`` is the journal that a fork starts with; a
    long one came before it in so many ``history_parts``. ``root`` is the run at the top of the family of a run that has
    a parent, ``root_agent`` that run's agent. ``traceparent`` is the W3C trace context of what asked for it.
    """

    run_id: str
    agent: str
    input: Json = None
    priority: str = "default"
    deadline_ms: int | None = None
    not_before_ms: int | None = None
    parent: str | None = None
    parent_path: str | None = None
    parent_pool: str | None = None
    caller: str | None = None
    idempotency_key: str | None = None
    forked_from: str | None = None
    history: Json = None
    schedule: str | None = None
    root: str | None = None
    history_parts: int | None = None
    root_agent: str | None = None
    traceparent: str | None = None


class RunHistoryGiven(Event, type="run.history_given", key="run_id"):
    """A part of the journal that a fork starts with, written to the agent's queue before its submission.

    ``text`` is a piece of the JSON of the whole; parts are numbered from 0.
    """

    run_id: str
    number: int
    text: str


class RunStarted(Event, type="run.started", key="run_id"):
    """A run was taken up by its worker for the first time; times in milliseconds since the epoch."""

    run_id: str
    agent: str
    parent: str | None = None
    started_ms: int
    input: Json = None
    created_ms: int | None = None


class RunSucceeded(Event, type="run.succeeded", key="run_id"):
    """A run ended with a result; ``ending`` counts how often the run has ended, from 1."""

    run_id: str
    agent: str
    parent: str | None = None
    ending: int
    result: Json = None
    usage: Json = None


class RunFailed(Event, type="run.failed", key="run_id"):
    """A run ended with an error at ``failed_path`` of its journal; it can be resumed from there."""

    run_id: str
    agent: str
    parent: str | None = None
    ending: int
    error: Json = None
    failed_path: str | None = None
    stage: str | None = None
    usage: Json = None


class RunCancelled(Event, type="run.cancelled", key="run_id"):
    """A run was cancelled."""

    run_id: str
    agent: str
    parent: str | None = None
    ending: int
    reason: str | None = None
    usage: Json = None
