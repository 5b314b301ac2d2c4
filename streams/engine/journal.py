"""The run's journal as the machine sees it: appending in a turn, and finding what was recorded in a replay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.engine.decision import Decision
from streams.engine.entry import DECIDING, LATE, PATCH, RESUME, Entry
from streams.engine.view import EFFECTS, WAITS, RunView
from streams.errors import JournalMismatch

_HANDED = EFFECTS | WAITS


class Journal:
    """Appends entries to the decision of the current turn and keeps those that a replay is to meet again."""

    __slots__ = (
        "agent",
        "decision",
        "entries",
        "now_ms",
        "patches",
        "pool",
        "remaining",
        "replaying",
        "resume",
        "resumed_ms",
        "resumed_seq",
        "run_id",
        "seq",
        "standing",
        "unpatched",
        "version",
        "view",
        "void_seq",
        "voided",
    )

    def __init__(self, run_id: str, agent: str, version: int, pool: str) -> None:
        self.run_id = run_id
        self.agent = agent
        self.version = version
        self.pool = pool
        self.entries: list[Entry] = []
        self.view = RunView(run_id, agent)
        self.decision = Decision()
        self.now_ms = 0
        self.seq = 0
        self.replaying = False
        self.remaining = 0
        self.resume = 0
        self.resumed_seq = -1
        self.resumed_ms = 0
        self.void_seq: int | None = None
        self.voided: dict[str, Entry] = {}
        self.standing: dict[str, Entry] = {}
        self.patches: set[str] = set()
        self.unpatched: set[str] = set()

    def append(  # noqa: PLR0913  one parameter for each field of an entry that is not always the same
        self,
        path: str,
        kind: str,
        name: str = "",
        *,
        status: str = "completed",
        resume: int | None = None,
        digest: str = "",
        stage: str | None = None,
        attempt: int = 1,
        progress: int | None = None,
        input: Any = None,
        output: Any = None,
        error: Any = None,
        usage: Any = None,
        due_ms: int | None = None,
        started_ms: int = 0,
        finished_ms: int | None = None,
    ) -> Entry:
        """Append an entry to this turn's unit; the times default to the turn's."""
        self.seq = seq = self.seq + 1
        now = self.now_ms
        entry = Entry(
            self.run_id,
            path,
            self.resume if resume is None else resume,
            seq,
            kind,
            name,
            digest,
            status,
            stage,
            attempt,
            progress,
            input,
            output,
            error,
            usage,
            due_ms,
            started_ms or now,
            finished_ms if finished_ms is not None or status in ("scheduled", "submitted") else now,
            self.agent,
            self.version,
            now,
        )
        self.entries.append(entry)
        self.decision.entries.append(entry)
        self.view.apply(entry)
        return entry

    def adopt(self, entry: Entry) -> None:
        """Append an entry that was made elsewhere: a fork's history."""
        self.entries.append(entry)
        self.decision.entries.append(entry)
        self.view.apply(entry)

    def load(self, entries: Iterable[Entry]) -> None:
        """Take the committed entries of a run, in any order."""
        self.entries = sorted(entries, key=lambda entry: entry.seq)
        self.seq = self.entries[-1].seq if self.entries else 0
        self.view = RunView(self.run_id, self.agent)
        for entry in self.entries:
            self.view.apply(entry)

    def rewind(self) -> list[Entry]:
        """Prepare a replay: what stands, what resumes have voided; return what is to be handed over, in log order."""
        void = self._voids()
        standing: dict[str, Entry] = {}
        for entry in self.entries:
            if (entry.path, entry.resume) in void:
                self.voided[entry.path] = entry
                self.void_seq = entry.seq if self.void_seq is None else self.void_seq
            elif entry.path[0] != "~" and not entry.path.endswith(LATE):
                standing[entry.path] = entry
        self.standing = standing
        handed = [entry for entry in self.entries if _is_handed(entry, standing, void)]
        self.remaining = sum(entry.path[0] != "~" for entry in handed)
        return handed

    def _voids(self) -> set[tuple[str, int]]:
        """Return path and resume number of what resumes have voided; set what the last resume left behind."""
        self.resume, self.resumed_seq, self.void_seq = 0, -1, None
        self.voided, self.patches, self.unpatched = {}, set(), set()
        void: set[tuple[str, int]] = set()
        for entry in self.entries:
            if entry.path.startswith(RESUME):
                self.resume += 1
                self.resumed_seq = entry.seq
                self.resumed_ms = entry.recorded_ms
                if entry.name:
                    void.add((entry.name, entry.attempt))
            elif entry.path.startswith(PATCH):
                self.patches.add(entry.path.removeprefix(PATCH))
        return void

    def find(self, path: str, kind: str, name: str | None, digest: str) -> Entry | None:
        """Return the record that stands for an operation, once; raise JournalMismatch if it is another operation.

        Without a name only the kind counts: another wording of a progress report does no harm.
        """
        entry = self.standing.pop(path, None) if self.standing else None
        if entry is None:
            return None
        same = entry.kind == kind and name in (None, entry.name)
        if same and entry.digest == digest:
            return None if entry.status == "cancelled" and entry.seq < self.resumed_seq else entry
        if self.tolerates(entry):
            return None
        raise JournalMismatch(
            f"entry {entry.seq} at path {path} is {entry.kind} {entry.name!r} and the code now makes {kind} {name!r} "
            f"with {'other' if same else 'its'} arguments: restore the old code, guard the change with "
            f"run.patched(), or fork the run at {path}",
            path=path,
        )

    def tolerates(self, entry: Entry) -> bool:
        """Return whether the record may be passed over: it followed a failure that a resume has voided."""
        return self.void_seq is not None and self.void_seq < entry.seq < self.resumed_seq

    def forbid_new(self, path: str, kind: str, name: str) -> None:
        """Raise JournalMismatch when an operation that records itself at once is new in the middle of a replay."""
        if self.replaying and self.remaining and self.void_seq is None:
            raise JournalMismatch(
                f"the code now makes {kind} {name!r} at path {path}, which the journal lacks: restore the old code, "
                f"guard the change with run.patched(), or fork the run at {path}",
                path=path,
            )


def _is_handed(entry: Entry, standing: dict[str, Entry], void: set[tuple[str, int]]) -> bool:
    path = entry.path
    if path[0] == "~":
        return path.startswith("~in/") or (path in ("~started", "~deadline") and (path, entry.resume) not in void)
    if standing.get(path) is not entry:
        return False
    if entry.kind == "stage":
        return entry.status == "timed_out"
    return entry.kind in _HANDED and entry.status in DECIDING
