"""Faults that are planted on purpose: each switches a rule of the protocol off, and the simulator must find it."""

from __future__ import annotations

from collections.abc import Callable

MUTATIONS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Switch a rule off in this process."""
    MUTATIONS[name]()
