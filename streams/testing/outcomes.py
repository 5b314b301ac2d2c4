"""What tests see of a run: how it stands, and what it asked of the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas import Event
from streams.errors import StreamsError


class RunEndedError(StreamsError):
    """Raised by `Outcome.value` and `run_agent` when a run did not succeed; `error` is what its journal holds."""

    def __init__(self, message: str, error: Any = None) -> None:
        super().__init__(message)
        self.error = error


class Hang(BaseException):
    """Raise it in a step or tool of a test to make the attempt last until its timeout."""


@dataclass(frozen=True)
class Call:
    """One attempt of an effect, as the outside saw it."""

    run_id: str
    path: str
    kind: str
    name: str
    args: Any
    attempt: int
    idempotency_key: str


@dataclass(frozen=True)
class Outcome:
    """How a run stands: `result` is of the agent's output type once `status` is succeeded."""

    run_id: str
    status: str
    result: Any
    error: Any
    view: dict[str, Any]
    history: list[dict[str, Any]]
    events: list[Event]
    calls: list[Call]

    def value(self) -> Any:
        """Return the result; raise RunEndedError if there is none."""
        if self.status != "succeeded":
            message = (self.error or {}).get("message", "it has not ended")
            raise RunEndedError(f"run {self.run_id} is {self.status}: {message}", self.error)
        return self.result
