"""The errors that Streams raises on purpose, under one base, so that callers can distinguish them from bugs."""

from __future__ import annotations


class StreamsError(Exception):
    """Base of every error that Streams raises; its message is one line that says what to do next."""


# What users get wrong before anything runs


class DefinitionError(StreamsError):
    """Raised by the decorators when a function cannot be what it is declared to be."""


class DiscoveryError(StreamsError):
    """Raised by `streams.app.discover`: a module that cannot be imported, or a name that is taken twice."""


# What stands for an error that is no Exception


class UserCodeExit(StreamsError):
    """Raised in place of what user code raised that is no `Exception`; its cause is what was raised.

    SystemExit, KeyboardInterrupt, GeneratorExit, a CancelledError that nobody asked for and other BaseExceptions would
    end the event loop or pass for a cancellation, and a StopIteration cannot leave a coroutine (PEP 479).
    """

    def __init__(self, message: str, cause: BaseException) -> None:
        super().__init__(message)
        self.__cause__ = cause


# What an agent's function meets at an await


class StepFailed(StreamsError):
    """Raised where a step, tool or model call was awaited, once its retries are used up.

    `path` names the step in the run, `type` the class of the original error, `attempts` how often it was tried.
    """

    def __init__(self, message: str, *, path: str = "", name: str = "", type: str = "", attempts: int = 1) -> None:
        super().__init__(message)
        self.path = path
        self.name = name
        self.type = type
        self.attempts = attempts


class TimedOut(StepFailed, TimeoutError):
    """Raised where a call, a signal or a step was awaited for longer than its `timeout`."""


class ChildFailed(StepFailed):
    """Raised where a child run was awaited that ended as failed; `child` is its run id."""

    def __init__(self, message: str, *, path: str = "", name: str = "", type: str = "", child: str = "") -> None:
        super().__init__(message, path=path, name=name, type=type)
        self.child = child


class ChildCancelled(ChildFailed):
    """Raised where a child run was awaited that was cancelled."""


class SoftTimeout(StreamsError):
    """Raised at the current await when the time of a step, a tool, a stage or a run is over: save, clean up and leave.

    The function has a short grace (10 s). Then a step or tool is cancelled, its attempt has timed out, and a stage or
    run fails, resumable. `path` names the stage in the run.
    """

    def __init__(self, message: str = "the time is over: save and clean up", *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class Cancelled(BaseException):
    """Raised at the current await of a run that was asked to cancel; no `except Exception` swallows it.

    The clean-up hook is a `finally` or an `except Cancelled` around the work: it may await further steps.
    """


# What parks a run


class JournalMismatch(StreamsError):
    """Raised when the agent's code no longer fits what its journal holds; `path` is the first entry that differs."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class ForeignAwait(StreamsError):
    """Raised when an agent's function awaits anything but an operation of its run; wrap it in `run.step`."""


class StateConflict(StreamsError):
    """Raised when the state of a run does not allow what was asked: resume, signal, cancel, fork (HTTP 409)."""


class ForkError(StreamsError):
    """Raised by a fork whose `at` or whose edit names no entry of the journal (HTTP 422)."""
