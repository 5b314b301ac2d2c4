"""What a user writes agents with: one import, loaded when first used, so that `import streams` costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streams.own_packages import resolve_first

if TYPE_CHECKING:
    from schemas import Event
    from streams.choices import Budget
    from streams.define.agents import agent
    from streams.define.canvas import batch, chain, chord, group
    from streams.define.durations import days, hours, minutes, seconds
    from streams.define.limits import Rate
    from streams.define.policies import Breaker, Reject, Retry, RetryPolicy
    from streams.define.reactions import on
    from streams.define.schedules import schedule
    from streams.define.sources import Delivery, source
    from streams.define.starts import StartRun
    from streams.define.tables import table
    from streams.define.tools import tool
    from streams.define.verifiers import hmac_sha256, standard_webhooks
    from streams.engine.run import Run
    from streams.errors import Cancelled, ChildFailed, SoftTimeout, StepFailed, StreamsError, TimedOut
    from topics import Topic

resolve_first()

__version__ = "0.1.0"

_HOMES = {
    "schemas": ("Event",),
    "streams.choices": ("Budget",),
    "streams.define.agents": ("agent",),
    "streams.define.canvas": ("batch", "chain", "chord", "group"),
    "streams.define.durations": ("days", "hours", "minutes", "seconds"),
    "streams.define.limits": ("Rate",),
    "streams.define.policies": ("Breaker", "Reject", "Retry", "RetryPolicy"),
    "streams.define.reactions": ("on",),
    "streams.define.schedules": ("schedule",),
    "streams.define.sources": ("Delivery", "source"),
    "streams.define.starts": ("StartRun",),
    "streams.define.tables": ("table",),
    "streams.define.tools": ("tool",),
    "streams.define.verifiers": ("hmac_sha256", "standard_webhooks"),
    "streams.engine.run": ("Run",),
    "streams.errors": ("Cancelled", "ChildFailed", "SoftTimeout", "StepFailed", "StreamsError", "TimedOut"),
    "topics": ("Topic",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Breaker",
    "Budget",
    "Cancelled",
    "ChildFailed",
    "Delivery",
    "Event",
    "Rate",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Run",
    "SoftTimeout",
    "StartRun",
    "StepFailed",
    "StreamsError",
    "TimedOut",
    "Topic",
    "agent",
    "batch",
    "chain",
    "chord",
    "days",
    "group",
    "hmac_sha256",
    "hours",
    "minutes",
    "on",
    "schedule",
    "seconds",
    "source",
    "standard_webhooks",
    "table",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'streams' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
