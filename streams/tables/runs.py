"""Every run's state in one row, folded from its journal by its owner: what `GET /runs` lists and looks up."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from schemas.run import ENDED
from schemas.values import Json
from streams import table
from streams.clock import iso
from streams.engine.view import RunView

_CUT: Final = 500  # characters of an error or a reason in a row; the run itself has the whole


class RunRow(BaseModel):
    """A run as lists show it; times in milliseconds since the epoch.

    It is written when status, stage or progress change. `step`, `attempt` and `usage` are those of its end; `key` is
    its concurrency key.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    agent: str
    status: str
    stage: str | None = None
    progress: int = 0
    step: str | None = None
    attempt: int = 1
    error: Json = None
    usage: Json = None
    reason: str | None = None
    parent: str | None = None
    forked_from: str | None = None
    key: str | None = None
    endings: int = 0
    created_ms: int
    updated_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as one of the runs in a list."""
        shown = self.model_dump(exclude={"created_ms", "updated_ms"})
        return {**shown, "created_at": iso(self.created_ms), "updated_at": iso(self.updated_ms)}


@table(of=[RunView], row=RunRow)
def runs(_: RunRow | None, view: RunView) -> RunRow | None:
    """Every run's state; the row goes with the run's history."""
    return RunRow.model_construct(**fields_of(view))


def fields_of(view: RunView) -> dict[str, Any]:
    """Return the row's fields by name: a worker writes many rows and makes no model of them."""
    ended, meta, step = view.status in ENDED, view.meta, view.step
    return {
        "run_id": view.run_id,
        "agent": view.agent,
        "status": view.status,
        "stage": view.stage,
        "progress": view.progress,
        "step": step[0] if ended else None,
        "attempt": step[1] if ended else 1,
        "error": short(view.error) if view.error else None,
        "usage": view.totals() if ended else None,
        "reason": view.reason[:_CUT] if view.reason else None,
        "parent": meta.get("parent"),
        "forked_from": meta.get("forked_from"),
        "key": view.key,
        "endings": view.ended,
        "created_ms": view.created_ms,
        "updated_ms": view.updated_ms,
    }


def short(error: Any) -> Any:
    """Return an error without its traceback, its texts cut."""
    if not isinstance(error, dict):
        return error
    return {
        name: value[:_CUT] if isinstance(value, str) else value for name, value in error.items() if name != "traceback"
    }
