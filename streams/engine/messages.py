"""What can happen to a run: the messages that the machine takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from streams.define.policies import Reject, asked_pause
from streams.error_text import error_message, error_traceback, error_type, error_types

if TYPE_CHECKING:
    from schemas import Event
    from schemas.run import RunSubmitted
    from streams.engine.decision import Output


@dataclass(slots=True)
class ErrorInfo:
    """An error of an effect as data: `types` are the names of its class and bases, `after` seconds, if it asks."""

    type: str
    message: str
    types: tuple[str, ...] = ()
    traceback: str = ""
    after: float | None = None
    rejected: bool = False
    timed_out: bool = False

    @classmethod
    def of(cls, error: BaseException, *, timed_out: bool = False) -> ErrorInfo:
        """Describe an exception; `Retry(after)`, `Reject` and a numeric `retry_after` attribute are understood."""
        return cls(
            type=error_type(error),
            message=error_message(error),
            types=error_types(error),
            traceback=error_traceback(error),
            after=asked_pause(error),
            rejected=issubclass(type(error), Reject),
            timed_out=timed_out,
        )


@dataclass(slots=True)
class Submit:
    """A submission was read from the agent's queue; a known run id is to be dropped before."""

    event: RunSubmitted


@dataclass(slots=True)
class Start:
    """The dispatcher gives the run a place: the function begins."""


@dataclass(slots=True)
class EffectDone:
    """One attempt of an effect ended: with a value (JSON, or what a step returned) or with an error.

    `encoded` says that the value is JSON as it is in the journal, `recorded` that the answer was found and not paid
    for. `calls` are records for the topic `calls`, `also` what else belongs into the unit. `parked` is why the attempt
    was not made, if it has to wait for somebody.
    """

    path: str
    resume: int
    attempt: int
    value: Any = None
    error: ErrorInfo | None = None
    usage: dict[str, Any] | None = None
    started_ms: int = 0
    finished_ms: int = 0
    calls: list[Event] = field(default_factory=list)
    also: list[Output] = field(default_factory=list)
    parked: str | None = None
    recorded: bool = False
    encoded: bool = False


@dataclass(slots=True)
class TimerFired:
    """A timer of an earlier decision is due; firing it twice or late changes nothing."""

    path: str
    due_ms: int


@dataclass(slots=True)
class SignalArrived:
    """A signal for the run; `id` makes it the same one when it comes again."""

    id: str
    name: str
    data: Any = None


@dataclass(slots=True)
class ChildDone:
    """A child's ending, as `child.ended` carries it."""

    path: str
    child_id: str
    ending: int
    status: str
    result: Any = None
    error: Any = None
    usage: Any = None


@dataclass(slots=True)
class CancelAsked:
    """Somebody asks the run to cancel; a second, different request does not wait for the clean-up."""

    id: str
    reason: str = ""


@dataclass(slots=True)
class ResumeAsked:
    """Somebody asks a failed run to go on after its ending with that number (None: the last one)."""

    id: str
    ending: int | None = None


@dataclass(slots=True)
class ForkAsked:
    """Somebody wants a new run with this run's journal up to `at` (a seq or a step's name), answers edited.

    `caller` is who asked, and so who started the new run.
    """

    new_run_id: str
    at: str
    edits: dict[str, Any] = field(default_factory=dict)
    caller: str | None = None


Message: TypeAlias = (
    Submit | Start | EffectDone | TimerFired | SignalArrived | ChildDone | CancelAsked | ResumeAsked | ForkAsked
)
