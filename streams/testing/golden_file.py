"""A golden run as a file: one finished run with its steps and their recorded answers, small enough for a repository."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.run import ENDED, RunSubmitted
from streams.clock import iso
from streams.engine.entry import END, EXPIRED, SUBMITTED, Entry
from streams.engine.view import fold
from streams.errors import StreamsError
from streams.replay.run_observations import outcome_of
from streams.telemetry import conceal

FORMAT: Final = 1
SUFFIX: Final = ".golden.json"

_COPIED: Final = (
    "path",
    "kind",
    "name",
    "digest",
    "status",
    "resume",
    "attempt",
    "stage",
    "progress",
    "input",
    "output",
)
_DECIDED: Final = frozenset({"completed", "failed"})
_OMITTED: Final = (
    SUBMITTED,
    EXPIRED,
    "~fork/",
)  # the submission is the head of the file; forks of a run are not its own


class GoldenFileError(StreamsError):
    """Raised for a golden file that cannot be read, and for a run of which none can be written."""


class GoldenCall(BaseModel):
    """A model call of a step; `hash` and `asked` find the answer, `request` is for people, with secrets masked."""

    model_config = ConfigDict(extra="forbid")

    kind: str = "llm"
    hash: str
    asked: str | None = None
    request: Any = None
    answer: Any


class GoldenEntry(BaseModel):
    """An entry of the run's journal; times are milliseconds since the run was submitted."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1)
    kind: str
    name: str = ""
    digest: str = ""
    status: str = "completed"
    resume: int = 0
    attempt: int = 1
    stage: str | None = None
    progress: int | None = None
    input: Any = None
    output: Any = None
    error: Any = None
    at_ms: int = 0
    finished_ms: int | None = None
    due_ms: int | None = None
    calls: list[GoldenCall] = Field(default_factory=list)


class GoldenOutcome(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="forbid")

    status: str
    result: Any = None
    error: Any = None


class GoldenJournal(BaseModel):
    """One run: what was submitted, what happened, how it ended."""

    model_config = ConfigDict(extra="forbid")

    agent: str
    submitted_at: datetime
    input: Any = None
    options: dict[str, Any] = Field(default_factory=dict)
    outcome: GoldenOutcome
    entries: list[GoldenEntry]


class GoldenDocument(GoldenJournal):
    """The whole file; `children` are the runs that the run called or started, by id."""

    golden: int
    run_id: str
    children: dict[str, GoldenJournal] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """A finished run with its descendants: the journal of each by run id, and the model calls of all of them."""

    run_id: str
    journals: dict[str, list[Entry]]
    calls: list[dict[str, Any]]

    @classmethod
    def of(
        cls, run_id: str, journals: Mapping[str, Iterable[Entry]], calls: Iterable[Mapping[str, Any]] = ()
    ) -> GoldenRun:
        """Return the golden run of journals and of `call.recorded` fields; raise GoldenFileError if it has no end."""
        latest = {run: _last_of_each_key(entries) for run, entries in journals.items()}
        # a tool's call is its entry: arguments and answer stand there
        asked = [dict(call) for call in calls if call["kind"] == "llm" and not call.get("error")]
        golden = cls(run_id, latest, [call for call in asked if call.get("run_id") in latest])
        if run_id not in latest:
            raise GoldenFileError(f"run {run_id} has no journal: its history was deleted, or it has not begun")
        view = fold(golden.root)
        require_finished(run_id, view.status, view.meta.get("forked_from"))
        return golden

    @property
    def root(self) -> list[Entry]:
        """The journal of the run itself."""
        return self.journals[self.run_id]

    @property
    def agent(self) -> str:
        """The name of the run's agent."""
        return self.root[0].agent

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", f"{self.agent}-{self.run_id}") + SUFFIX

    def submission(self) -> tuple[RunSubmitted, int]:
        """Return the submission, and when it came in milliseconds since the epoch."""
        first = self.root[0]
        options = {name: value for name, value in (first.output or {}).items() if name in RunSubmitted.model_fields}
        event = RunSubmitted(**{**options, "run_id": self.run_id, "agent": first.agent, "input": first.input})
        return event, first.recorded_ms

    def outcome(self) -> dict[str, Any]:
        """Return how it ended: status, result, and error without traceback."""
        return outcome_of(fold(self.root))

    def text(self) -> str:
        """Return the file's text; secrets of the settings are masked."""
        calls: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for call in self.calls:
            calls[call["run_id"], call["path"]].append(call)
        journals = {run: _journal_json(run, entries, calls) for run, entries in self.journals.items()}
        root = journals.pop(self.run_id)
        document = {"golden": FORMAT, "run_id": self.run_id, **root}
        if journals:
            document["children"] = journals
        return json.dumps(conceal(document), ensure_ascii=False, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Write the file, and its folder if there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.text().encode("utf-8", "surrogatepass"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raise GoldenFileError, in one line, for one that is damaged or of a newer format."""
        try:
            value = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
        except (OSError, ValueError) as error:
            raise GoldenFileError(f"{path.name} cannot be read ({error}): {_AGAIN}") from None
        number = value.get("golden") if isinstance(value, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise GoldenFileError(
                f"{path.name} has format {number} and this version of Streams reads up to {FORMAT}: upgrade Streams, "
                "or write the file again with `streams golden add`"
            )
        try:
            document = GoldenDocument.model_validate(value)
            return cls._of(document)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in problem["loc"]) or "the file"
            raise GoldenFileError(f"{path.name} is damaged ({place}: {problem['msg']}): {_AGAIN}") from None

    @classmethod
    def _of(cls, document: GoldenDocument) -> Self:
        every: dict[str, GoldenJournal] = {document.run_id: document, **document.children}
        calls = [
            {**call.model_dump(), "run_id": run, "path": entry.path}
            for run, journal in every.items()
            for entry in journal.entries
            for call in entry.calls
        ]
        return cls(document.run_id, {run: _entries(run, journal) for run, journal in every.items()}, calls)


_AGAIN: Final = "restore it from version control, or write it again with `streams golden add`"


def require_finished(run_id: str, status: str, forked_from: str | None) -> None:
    """Raise GoldenFileError for a run that has not ended, or that shares its past with the run it was forked from."""
    if status not in ENDED:
        raise GoldenFileError(f"run {run_id} is {status}: `streams runs follow {run_id}` waits for its end")
    if forked_from:
        raise GoldenFileError(
            f"run {run_id} is a fork and shares its past with run {forked_from}: add that run, or a new one with the "
            "fork's input"
        )


def _last_of_each_key(entries: Iterable[Entry]) -> list[Entry]:
    """Return what a compacted log keeps of a journal, in log order."""
    last = {entry.key(): entry for entry in sorted(entries, key=lambda entry: entry.seq)}
    return sorted(last.values(), key=lambda entry: entry.seq)


def _journal_json(
    run_id: str, entries: list[Entry], calls: Mapping[tuple[str, str], list[dict[str, Any]]]
) -> dict[str, Any]:
    first, outcome = entries[0], outcome_of(fold(entries))
    ends = [entry.path for entry in entries if entry.path.startswith(END)]
    listed = [entry for entry in entries if not entry.path.startswith(_OMITTED)]
    journal: dict[str, Any] = {"agent": first.agent, "submitted_at": iso(first.recorded_ms), "input": first.input}
    if first.output:
        journal["options"] = first.output
    journal["outcome"] = {name: value for name, value in outcome.items() if value is not None}
    journal["entries"] = [
        _entry_json(entry, first.recorded_ms, calls.get((run_id, entry.path), []), is_last_end=entry.path in ends[-1:])
        for entry in listed
    ]
    return journal


def _entry_json(entry: Entry, since_ms: int, calls: list[dict[str, Any]], *, is_last_end: bool) -> dict[str, Any]:
    """Return an entry as the file has it: what is empty is left out, and so is what the outcome says already."""
    values: dict[str, Any] = {name: getattr(entry, name) for name in _COPIED}
    values["error"] = _without_traceback(entry.error)
    values["at_ms"] = entry.recorded_ms - since_ms
    values["finished_ms"] = None if entry.finished_ms is None else entry.finished_ms - since_ms
    values["due_ms"] = None if entry.due_ms is None else entry.due_ms - since_ms
    if is_last_end:
        values["output"] = values["error"] = None
    if entry.status in _DECIDED:
        values["calls"] = [_call_json(call) for call in calls]
    defaults = {name: field.get_default(call_default_factory=True) for name, field in GoldenEntry.model_fields.items()}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _call_json(call: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"asked": call["asked"]} if call.get("asked") else {}
    return {"hash": call["hash"], **asked, "request": call.get("request"), "answer": call["answer"]}


def _without_traceback(error: Any) -> Any:
    """Return an error without the places in files: they belong to the machine on which it was raised."""
    if not isinstance(error, dict):
        return error
    return {name: value for name, value in error.items() if name != "traceback"}


def _entries(run_id: str, journal: GoldenJournal) -> list[Entry]:
    """Return the entries of a journal as the engine knows them."""
    since_ms = round(journal.submitted_at.timestamp() * 1000)
    common = {"run_id": run_id, "agent": journal.agent}
    submitted = {"path": SUBMITTED, "kind": "submitted", "name": journal.agent, "status": "submitted", "seq": 1}
    given = {"input": journal.input, "output": journal.options, "recorded_ms": since_ms}
    entries = [Entry.from_dict({**common, **submitted, **given})]
    for number, entry in enumerate(journal.entries, 2):
        values = entry.model_dump(exclude={"at_ms", "finished_ms", "due_ms", "calls"})
        values["recorded_ms"] = since_ms + entry.at_ms
        values["finished_ms"] = None if entry.finished_ms is None else since_ms + entry.finished_ms
        values["due_ms"] = None if entry.due_ms is None else since_ms + entry.due_ms
        entries.append(Entry.from_dict({**common, **values, "seq": number}))
    ends = [entry for entry in entries if entry.path.startswith(END)]
    if ends:
        ends[-1].output, ends[-1].error = journal.outcome.result, journal.outcome.error
    return entries
