"""The `@table` decorator: a pure fold of events into rows that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.define.signatures import doc_of, parameters_of, where
from streams.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class TableDef:
    """A fold: the row before (or None) and an event give the row after, or None to delete it."""

    name: str
    fn: Callable[[Any, Any], Any]
    of: tuple[type[Any], ...]
    row: Any
    version: int = 1
    pool: str = "default"
    lookups: tuple[str, ...] = ()
    doc: str = ""

    def __call__(self, row: Any, event: Any) -> Any:
        """Fold one event, for tests."""
        return self.fn(row, event)

    def __repr__(self) -> str:
        return f"<table {self.name}>"


def table(
    *,
    of: Sequence[type[Any]],
    row: Any,
    version: int = 1,
    pool: str = "default",
    lookups: Sequence[str] = (),
) -> Callable[[Callable[[Any, Any], Any]], TableDef]:
    """Make a table of a fold; raise DefinitionError unless it folds (row, event) over at least one event type."""

    def make(fn: Callable[[Any, Any], Any]) -> TableDef:
        if not of or any(not getattr(kind, "event_type", None) for kind in of):
            raise DefinitionError(f"{where(fn)}: of= lists the event types that the table folds")
        if len(parameters_of(fn)) != 2:
            raise DefinitionError(f"{where(fn)}: a table is a function of the row before and one event")
        unknown = [name for name in lookups if name not in getattr(row, "model_fields", {})]
        if unknown:
            raise DefinitionError(f"{where(fn)}: lookups={unknown!r} are no fields of {row!r}")
        return TableDef(fn.__name__, fn, tuple(of), row, version, pool, tuple(lookups), doc_of(fn))

    return make
