"""What the log says of one run: when each thing happened in it, what its steps gave, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.run import ENDED
from streams.engine.entry import INBOX, RESUME, STARTED, SUBMITTED, Entry
from streams.engine.messages import CancelAsked, ChildDone, Message, ResumeAsked, SignalArrived
from streams.engine.view import RunView, fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.decision import Perform

_DECIDED: Final = frozenset({"completed", "failed"})

Moment = tuple[int, int]
"""Milliseconds since the epoch and the rank in the run's journal: the order in which things happened to a run."""


class Observed:
    """A run's committed journal, asked by place and time."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.seq)
        self.view: RunView = fold(self.entries)
        self._at: dict[tuple[str, int], Entry] = {}
        self._moments: dict[int, Moment] = {}
        latest = 0
        for entry in self.entries:
            latest = max(latest, entry.recorded_ms)  # clocks of two owners may differ; the rank decides
            self._at[entry.path, entry.resume] = entry
            self._moments[entry.seq] = (latest, entry.seq)

    @property
    def ended(self) -> bool:
        """Whether the run has an end on the log."""
        return self.view.status in ENDED

    def moment(self, entry: Entry) -> Moment:
        """Return when an entry was recorded."""
        return self._moments[entry.seq]

    def entry(self, path: str, resume: int = 0) -> Entry | None:
        """Return the entry of a path under a resume number."""
        return self._at.get((path, resume))

    def own(self, path: str) -> Entry | None:
        """Return one of the run's own entries, which carry whatever resume number was current."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def submitted(self) -> Entry | None:
        """Return the submission."""
        return self.own(SUBMITTED)

    def started(self) -> Entry | None:
        """Return the start."""
        return self.own(STARTED)

    def endings(self, path: str, child: str) -> list[tuple[Moment, ChildDone]]:
        """Return the endings of a child, called at a path, that the run got, with their times; there may be several."""
        return [
            (
                self.moment(entry),
                ChildDone(path, child, arrival.ending, arrival.status, entry.output, entry.error, entry.usage),
            )
            for entry in self.entries
            if (arrival := _arrival_of(entry)) is not None and arrival.child == child
        ]

    def arrival(self) -> set[int]:
        """Return the ranks at which the run first got endings of its children."""
        first: dict[_Arrival, int] = {}
        for entry in self.entries:
            arrival = _arrival_of(entry)
            if arrival is not None:
                first.setdefault(arrival, entry.seq)
        return set(first.values())

    def children(self) -> set[str]:
        """Return the ids of all runs that this one called or started."""
        return set(self.view.children) | {
            entry.input["child"]
            for entry in self.entries
            if entry.kind == "call" and isinstance(entry.input, dict) and entry.input.get("child")
        }

    def effect(self, perform: Perform) -> Entry | None:
        """Return what an attempt's step came to, if it was decided there, asked the same, after as many resumes."""
        entry = self.entry(perform.path, perform.resume)
        return entry if entry is not None and _same(entry, perform) else None

    def alike(self, perform: Perform) -> Entry | None:
        """Return what a step asked the same came to elsewhere in the run: the code may have moved."""
        return next((entry for entry in self.entries if _same(entry, perform)), None)

    def letters(self) -> list[tuple[Moment, Message]]:
        """Return what others sent to the run: signals, cancels and resumes, with their times."""
        found: list[tuple[Moment, Message]] = []
        for entry in self.entries:
            message: Message | None = None
            if entry.path.startswith(INBOX) and entry.kind == "signal":
                message = SignalArrived(entry.path.removeprefix(INBOX), entry.name, entry.output)
            elif entry.path.startswith(INBOX) and entry.kind == "cancel":
                message = CancelAsked(entry.path.removeprefix(INBOX), entry.name)
            elif entry.path.startswith(RESUME):
                message = ResumeAsked(entry.path, int(entry.path.removeprefix(RESUME)))
            if message is not None:
                found.append((self.moment(entry), message))
        return found


class _Arrival(NamedTuple):
    """An ending of a child; a success is the last there is, whatever its number."""

    child: str
    status: str
    ending: int


def _arrival_of(entry: Entry) -> _Arrival | None:
    """Return the child's ending that an entry records: one that was waited for, or one that lay in the inbox."""
    error = entry.error if isinstance(entry.error, dict) else None
    status = "succeeded" if error is None else error.get("status", "failed")
    if entry.kind == "child":
        return _Arrival(entry.name, status, 1 if error is None else entry.attempt)
    given = entry.input if isinstance(entry.input, dict) else {}
    if entry.kind != "call" or entry.status not in _DECIDED or "child" not in given:
        return None
    return _Arrival(given["child"], status, 1 if error is None else error.get("ending", 1))


def asked_of(perform: Perform) -> str:
    """Return the part of the arguments' digest that an attempt carries in its idempotency key."""
    return perform.idempotency_key.rpartition("/")[2]


def _same(entry: Entry, perform: Perform) -> bool:
    decided = entry.status in ("completed", "failed")
    return (
        decided and entry.kind == perform.kind and entry.name == perform.name and entry.digest[:8] == asked_of(perform)
    )


def outcome_of(view: RunView) -> dict[str, Any]:
    """Return how a run ended, as it can be compared: without traceback, which names lines and not what happened."""
    error = view.error
    if isinstance(error, dict):
        error = {name: value for name, value in error.items() if name != "traceback"}
    return {"status": view.status, "result": view.result, "error": error}
