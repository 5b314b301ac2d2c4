"""Ids that are derived, never drawn: two workers or gateways that race make the same id for the same thing."""

from __future__ import annotations

import base64
import hashlib
import random


def derived(prefix: str, *parts: object) -> str:
    """Return `prefix` + 26 characters of base32 of the SHA-256 of the parts, lower case."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return prefix + base64.b32encode(digest)[:26].decode().lower()


def run_id_of_key(caller: str | None, idempotency_key: str) -> str:
    """Return the run id that belongs to a caller's idempotency key."""
    return derived("k-", caller or "", idempotency_key)


def child_id(parent: str, path: str, resume: int) -> str:
    """Return the id of the child that a parent calls at a path, under a resume number."""
    return derived("c-", parent, path, resume)


def started_id(cause: str, name: str, index: int) -> str:
    """Return the id of the run that a reaction or source starts as its index-th for the input with id `cause`."""
    return derived("s-", cause, name, index)


def slot_id(schedule: str, slot_ms: int) -> str:
    """Return the id of what a schedule starts for a slot (milliseconds since the epoch)."""
    return derived("t-", schedule, slot_ms)


def seeded(run_id: str, *parts: object) -> random.Random:
    """Return a random generator that gives the same numbers for the same place in a run."""
    return random.Random("\0".join((run_id, *(str(part) for part in parts))))  # noqa: S311  repeatable by design
