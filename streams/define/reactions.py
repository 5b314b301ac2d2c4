"""The `@on` decorator: a stateless function of events, ordered per key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.define.policies import RetryPolicy
from streams.define.signatures import doc_of, where
from streams.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class Reaction:
    """A function from an event to events, `StartRun`s or nothing.

    `debounce` is in seconds: of the events with equal field `by` only the last one within it is handled.
    """

    name: str
    fn: Callable[..., Any]
    event_types: tuple[type[Any], ...]
    debounce: float | None = None
    by: str | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    doc: str = ""

    def __call__(self, *args: Any) -> Any:
        """Call the function itself, for tests."""
        return self.fn(*args)

    def __repr__(self) -> str:
        return f"<reaction {self.name}>"


def on(
    *event_types: type[Any],
    debounce: float | None = None,
    by: str | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[Callable[..., Any]], Reaction]:
    """Make a reaction to one or more event types; raise DefinitionError if there is none or `by` is no field."""

    def make(fn: Callable[..., Any]) -> Reaction:
        if not event_types:
            raise DefinitionError(f"{where(fn)}: say what it reacts to: @on(SomeEvent)")
        for kind in event_types:
            if not getattr(kind, "event_type", None):
                raise DefinitionError(f"{where(fn)}: {kind!r} is no event, derive it from schemas.Event with a type")
            if by is not None and by not in getattr(kind, "model_fields", {}):
                raise DefinitionError(f"{where(fn)}: by={by!r} is no field of {kind.__name__}")
        return Reaction(fn.__name__, fn, tuple(event_types), debounce, by, retry or RetryPolicy(), doc_of(fn))

    return make
