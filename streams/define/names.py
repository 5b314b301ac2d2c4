"""Events and runs by name, for sources that learn only from a delivery what it is; the gateway finds the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """An event of the type called `type`; `data` are its fields as JSON, checked against the type's schema."""

    type: str
    data: Any
    key: str | None = None


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run of the agent called `agent`; `input` is JSON, checked against the agent's type."""

    agent: str
    input: Any = None
