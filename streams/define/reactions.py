"""The `@on` decorator: a stateless function of events, ordered per key."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.define.options import check, decorator, duration, instance, no_generator, optional, pause, text, whole
from streams.define.policies import POLICY, RetryPolicy
from streams.define.signatures import doc_of, where
from streams.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class Reaction:
    """A function from an event to events, `StartRun`s or nothing.

    `debounce` is in seconds: of the events with equal field `by` only the last one within it is handled. With `batch`
    the function takes a list: of at most so many events, handed over when they are there or `within` seconds after the
    first of them.
    """

    name: str
    fn: Callable[..., Any]
    event_types: tuple[type[Any], ...]
    debounce: float | None = None
    by: str | None = None
    batch: int | None = None
    within: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    doc: str = ""

    def __call__(self, *args: Any) -> Any:
        """Call the function itself, for tests."""
        return self.fn(*args)

    def __repr__(self) -> str:
        return f"<reaction {self.name}>"


@decorator("@on(SomeEvent)")
def on(
    *event_types: type[Any],
    debounce: float | None = None,
    by: str | None = None,
    batch: int | None = None,
    within: float | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[Callable[..., Any]], Reaction]:
    """Make a reaction: a function that is called with each event of some types.

    `event_types` are the classes of the events. `debounce` is how many seconds without another event must pass: the
    function gets the last one. `by` is the field whose values are debounced or collected apart, by default the key: it
    should go with the key, since events of one value that lie in several partitions are collected in each of them.
    `batch` makes the function take a list of at most so many events; it needs `within=`. `within` is how many seconds
    after its first event a list is handed over. `retry` is the policy of its attempts.

    Raises DefinitionError, with file and line, for what is not possible.
    """
    if event_types and inspect.isfunction(event_types[0]):  # @on without parentheses
        raise DefinitionError(f"{where(event_types[0])}: say what it reacts to: write @on(SomeEvent)")

    def make(fn: Callable[..., Any]) -> Reaction:
        no_generator(fn, "a reaction")
        check(
            fn,
            debounce=(debounce, optional(pause)),
            by=(by, optional(text)),
            retry=(retry, optional(instance(RetryPolicy, POLICY))),
        )
        if not event_types:
            raise DefinitionError(f"{where(fn)}: say what it reacts to: @on(SomeEvent)")
        for kind in event_types:
            if not getattr(kind, "event_type", None):
                raise DefinitionError(f"{where(fn)}: {kind!r} is no event, derive it from schemas.Event with a type")
            if by is not None and by not in getattr(kind, "model_fields", {}):
                raise DefinitionError(f"{where(fn)}: by={by!r} is no field of {kind.__name__}")
        together = whole(1)(batch) is None and duration(within) is None and debounce is None
        if (batch is not None or within is not None) and not together:
            raise DefinitionError(f"{where(fn)}: say batch=50, within=seconds(10), and no debounce beside it")
        policy = retry or RetryPolicy()
        return Reaction(fn.__name__, fn, tuple(event_types), debounce, by, batch, within, policy, doc_of(fn))

    return make
