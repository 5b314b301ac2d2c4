"""The `@table` decorator: a pure fold of events into rows that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.define.options import check, decorator, instance, plain_function, pool_name, whole
from streams.define.signatures import doc_of, parameters_of, where
from streams.errors import DefinitionError

RESERVED: Final = frozenset({"prefix", "limit", "cursor", "at", "consistency", "topic", "stale"})
"""What a request for rows may say besides a lookup."""


@dataclass(frozen=True, eq=False)
class TableDef:
    """A fold: the row before (or None) and an event give the row after, or None to delete it.

    `lookups` are fields of the row by whose value rows are found without a scan. With `merge` each partition has its
    part of a row, and who asks gets all parts merged. `pool` names the workers that store the rows.
    """

    name: str
    fn: Callable[[Any, Any], Any]
    of: tuple[type[Any], ...]
    row: Any
    version: int = 1
    pool: str = "default"
    lookups: tuple[str, ...] = ()
    doc: str = ""
    merge: Callable[[Sequence[Any]], Any] | None = None

    def __call__(self, row: Any, event: Any) -> Any:
        """Fold one event, for tests."""
        return self.fn(row, event)

    @property
    def of_runs(self) -> bool:
        """Whether it folds what happens to runs, as their owners know it, and not events: every pool has one."""
        return any(getattr(kind, "of_runs", False) for kind in self.of)

    def __repr__(self) -> str:
        return f"<table {self.name}>"


@decorator("@table(of=[SomeEvent], row=SomeRow)")
def table(
    *,
    of: Sequence[type[Any]],
    row: Any,
    version: int = 1,
    pool: str = "default",
    lookups: Sequence[str] = (),
    merge: Callable[[Sequence[Any]], Any] | None = None,
) -> Callable[[Callable[[Any, Any], Any]], TableDef]:
    """Make a table of a fold of (row, event) over the event types `of` into rows of the type `row`.

    `of` lists the event types. `row` is the type of a row, a pydantic model. `version` is the version of the fold:
    another one has another store, which begins empty. `pool` names the workers that store the rows. `lookups` are
    fields of the row by whose value rows are found without a scan. `merge` is a function of the parts of a row: each
    partition then has its own part, and a reader gets all parts merged.

    Raises DefinitionError, with file and line.
    """

    def make(fn: Callable[[Any, Any], Any]) -> TableDef:
        plain_function(fn, "a table")
        check(
            fn,
            of=(of, instance((list, tuple), "of=[SomeEvent]")),
            row=(row, instance(type, "row=SomeRow, a pydantic model")),
            version=(version, whole(1)),
            pool=(pool, pool_name),
            lookups=(lookups, instance((list, tuple), 'lookups=["owner"]')),
            merge=(merge, _merge),
        )
        if not of or any(not getattr(kind, "event_type", None) for kind in of):
            raise DefinitionError(f"{where(fn)}: of= lists the event types that the table folds")
        if len(parameters_of(fn)) != 2:
            raise DefinitionError(f"{where(fn)}: a table is a function of the row before and one event")
        unknown = [name for name in lookups if name not in getattr(row, "model_fields", {})]
        if unknown:
            raise DefinitionError(f"{where(fn)}: lookups={unknown!r} are no fields of {row!r}")
        if taken := RESERVED.intersection(lookups):
            raise DefinitionError(f"{where(fn)}: lookups={sorted(taken)!r} mean something else in a request for rows")
        return TableDef(fn.__name__, fn, tuple(of), row, version, pool, tuple(lookups), doc_of(fn), merge)

    return make


def _merge(value: Any) -> str | None:
    return None if value is None or callable(value) else "a function of the parts of a row"
