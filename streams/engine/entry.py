"""The journal's entry as the machine holds it, and the key under which it is on the log."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from schemas.journal import JournalEntry

Status = Literal["submitted", "scheduled", "completed", "failed", "fired", "timed_out", "cancelled", "ended", "expired"]

# Statuses that settle a path and are handed to the function; "cancelled" settles one without being handed over.
DECIDING: Final = frozenset({"completed", "failed", "fired", "timed_out"})

PARKED: Final = "Parked"  # the type in the error of an entry whose attempt waits for somebody, and was not made

RUN_PREFIX: Final = b"r/"  # of the keys of all entries

SUBMITTED: Final = "~submitted"
STARTED: Final = "~started"
DEADLINE: Final = "~deadline"
INBOX: Final = "~in/"
END: Final = "~end/"
RESUME: Final = "~resume/"
PATCH: Final = "~patch/"
EXPIRED: Final = "~expired"
LATE: Final = "~late"

APPROVAL: Final = "approval"  # the signal that answers a request for approval


@dataclass(slots=True)
class Entry:
    """One record of a run's journal. Times are milliseconds since the epoch; `seq` is the rank in log order.

    Input, output, error and usage are JSON values. `input` is for people (large ones are cut): `digest` decides.
    """

    run_id: str
    path: str
    resume: int
    seq: int
    kind: str
    name: str
    digest: str
    status: str
    stage: str | None
    attempt: int
    progress: int | None
    input: Any
    output: Any
    error: Any
    usage: Any
    due_ms: int | None
    started_ms: int
    finished_ms: int | None
    agent: str
    version: int
    recorded_ms: int

    def key(self) -> bytes:
        """Return the key of this entry in `journal.<pool>`."""
        return journal_key(self.run_id, self.path, self.resume)

    def to_record(self) -> JournalEntry:
        """Return the entry as the record that goes to the log."""
        return JournalEntry.model_construct(**{name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def from_record(cls, record: JournalEntry) -> Entry:
        """Return the entry that a record of the log holds."""
        return cls(**{name: getattr(record, name) for name in _FIELDS})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Entry:
        """Return an entry from a mapping with at least run_id, path and kind; what is missing gets its default."""
        filled: dict[str, Any] = {name: values.get(name, _DEFAULTS.get(name)) for name in _FIELDS}
        return cls(**filled)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as a mapping of JSON values, without what is empty."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}


_FIELDS: Final = tuple(field.name for field in fields(Entry))
_DEFAULTS: Final[dict[str, Any]] = {
    "resume": 0,
    "seq": 0,
    "name": "",
    "digest": "",
    "status": "completed",
    "attempt": 1,
    "started_ms": 0,
    "agent": "",
    "version": 1,
    "recorded_ms": 0,
}


def journal_key(run_id: str, path: str, resume: int) -> bytes:
    """Return `r/<run_id>/<path>/<resume>`; the run's own paths (`~in/…`, `~end/…`) carry no resume number."""
    if path[0] == "~" and path != DEADLINE:
        return RUN_PREFIX + f"{run_id}/{path}".encode()
    return RUN_PREFIX + f"{run_id}/{path}/{resume}".encode()


def run_prefix(run_id: str) -> bytes:
    """Return the prefix that all keys of a run's journal share."""
    return RUN_PREFIX + f"{run_id}/".encode()
