"""The one registry of the keys in a partition's journal store: each prefix, and what the rows under it hold.

All rows of a partition that are no rows of a table are in one store, whose changelog is `journal.<pool>`. The part of a
key up to its first slash says what the row is. No prefix may begin another one, because rows are found by their prefix.

A prefix is part of the data on the log: it may be added, but neither changed nor used for something else.
"""

from __future__ import annotations

from typing import Final

from streams.engine.entry import RUN_PREFIX
from streams.runtime.assignment import OFFSET_KEY

LEDGER: Final = "journal"
"""The name of the store."""

RUN: Final = RUN_PREFIX
"""`r/<run id>/<path>[/<resume>]`: an entry of a run's journal (Avro `JournalEntry`)."""

APPLIED_OFFSET: Final = OFFSET_KEY
"""`o/<topic>`: the next offset of a source topic, as committed; written by the committer alone."""

AGENT_ORDERS: Final = b"a/"
"""`a/<agent>`: the ids of the last requests that paused or resumed an agent (JSON list)."""

BUDGET: Final = b"b/"
"""`b/<scope>`: the account of a budget (JSON)."""

SHARED_ANSWER: Final = b"c/"
"""`c/<hash of the call>`: the answer of a call that others may use: its expiry, a space, JSON."""

SHARED_ANSWER_EXPIRY: Final = b"ce/"
"""`ce/<expiry>/<hash of the call>`: finds shared answers in the order of their expiries."""

OUTSIDE_ID: Final = b"d/"
"""`d/<topic>/<id>` and `d//<topic>/…`: when an event from outside was handled (see `deduplication`)."""

EARLY_SIGNAL: Final = b"e/"
"""`e/<run id>/<signal id>`: a signal that came before its run (Avro `ParkedEvent`); `e/<run id>`: there are some."""

FORK_PART: Final = b"f/"
"""`f/<run id>/<number>`: a part of the history of a fork whose submission has not come."""

FORK_WAITING: Final = b"fw/"
"""`fw/<run id>`: since when these parts wait, in milliseconds since the epoch."""

RATE_GRANT: Final = b"g/"
"""`g/<limit>/<request>`: a grant of a rate limit: when it was given and when it counts no more."""

PAUSED_AGENT: Final = b"h/"
"""`h/<agent>`: the queue of an agent is paused."""

KEY_CLAIM: Final = b"k/"
"""`k/<lock>/<run id>`: a run holds a concurrency key or waits for it (JSON)."""

BLOCKED_CODE: Final = b"l/"
"""`l/<kind>/<name>/<unique>`: code of a run or an event blocked an event loop (JSON: what, the line, the seconds)."""

CONSUMER_POSITION: Final = b"n/"
"""`n/<consumer>`: where a table or a reaction is on the bus: `=` for in step, else the next offset that it needs."""

PARKED_EVENT: Final = b"q/"
"""`q/<reaction>/<lane>/<topic>/<offset>`: an event that waits in a lane of a reaction (Avro `ParkedEvent`)."""

SCHEDULE: Final = b"s/"
"""`s/<schedule>`: the state of a schedule (Avro `ScheduleState`)."""

UNSERVED_SIGNAL: Final = b"u/"
"""`u/<offset>`: a record on `signals` for a run or a schedule that the worker's code lacks (Avro `ParkedEvent`)."""

REDRIVEN: Final = b"x/"
"""`x/<dead letter>/<attempt>`: when a dead letter was redriven, in milliseconds since the epoch."""

PREFIXES: Final = (
    RUN,
    APPLIED_OFFSET,
    AGENT_ORDERS,
    BUDGET,
    SHARED_ANSWER,
    SHARED_ANSWER_EXPIRY,
    OUTSIDE_ID,
    EARLY_SIGNAL,
    FORK_PART,
    FORK_WAITING,
    RATE_GRANT,
    PAUSED_AGENT,
    KEY_CLAIM,
    BLOCKED_CODE,
    CONSUMER_POSITION,
    PARKED_EVENT,
    SCHEDULE,
    UNSERVED_SIGNAL,
    REDRIVEN,
)
"""All of them."""
