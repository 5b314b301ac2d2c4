"""Forks: the prefix of a journal, answers edited, becomes the history of a new run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from schemas.run import RunHistoryGiven, RunSubmitted
from streams.engine.decision import Output
from streams.engine.entry import DECIDING, INBOX, RESUME, SUBMITTED, Entry
from streams.errors import ForkError

if TYPE_CHECKING:
    from streams.engine.journal import Journal
    from streams.engine.messages import ForkAsked

MOST: Final = 900_000  # bytes of JSON that go into one record beside its envelope
PART: Final = 200_000  # characters of a part: at most four bytes each
_UNDECIDED: Final = frozenset({"step", "tool", "llm", "sleep", "wait", "call"})


def fork_prefix(entries: Iterable[Entry], at: str, edits: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the entries before `at` (a seq, path or step's name) with the edited answers, for `RunSubmitted.history`.

    An edit of `at` itself gives that step's answer, so that the new run goes on behind it. Raises ForkError for a
    name that no entry has, and for an edit of what the prefix does not contain.
    """
    listed = sorted(entries, key=lambda entry: entry.seq)
    changed = {_named(listed, name).seq: answer for name, answer in (edits or {}).items()}
    cut = _named(listed, at)
    prefix = [entry for entry in listed if entry.seq < cut.seq or (entry.seq == cut.seq and cut.seq in changed)]
    missing = set(changed) - {entry.seq for entry in prefix}
    if missing:
        raise ForkError(f"an edit is for entry {min(missing)}, which comes after the fork at {at}: fork there or later")
    return [_edited(entry, changed).to_dict() for entry in prefix if _in_history(entry, prefix)]


def fork(journal: Journal, asked: ForkAsked, agent: str, pool: str) -> None:
    """Submit a run of `agent` with the journal's prefix as its history; an order that makes no sense is recorded."""
    path, given = f"~fork/{asked.new_run_id}", {"at": asked.at}
    try:
        events = fork_records(journal.entries, asked)
    except ForkError as error:  # the order is wrong, the run is not
        journal.append(path, "fork", asked.new_run_id, status="failed", input=given, error={"message": str(error)})
        return
    journal.append(path, "fork", asked.new_run_id, input=given)
    for number, event in enumerate(events):
        last = number == len(events) - 1
        event_id = f"{asked.new_run_id}/submitted/0" if last else f"{asked.new_run_id}/history/{number}"
        journal.decision.outputs.append(Output("agents", event, event_id, asked.new_run_id, agent, pool))


def fork_records(entries: list[Entry], asked: ForkAsked) -> list[RunHistoryGiven | RunSubmitted]:
    """Return the submission of the new run, with the history by value, since a reference would dangle.

    A history that no record takes goes before it in parts; all of them are one unit. The submission comes last, so
    that a run exists only with the whole of its history.
    """
    history = fork_prefix(entries, asked.at, asked.edits)
    for name, answer in asked.edits.items():
        if (size := len(orjson.dumps(answer))) > MOST:
            raise ForkError(f"the answer given for {name} has {size:,} bytes, an entry takes {MOST:,}")
    whole = orjson.dumps(history)
    if len(whole) <= MOST:
        return [_submission(entries, asked, history, None)]
    text = whole.decode()
    parts = [
        RunHistoryGiven(run_id=asked.new_run_id, number=number, text=text[at : at + PART])
        for number, at in enumerate(range(0, len(text), PART))
    ]
    return [*parts, _submission(entries, asked, None, len(parts))]


def misfit(lines: Sequence[Mapping[str, Any]], at: str, edits: Iterable[str]) -> tuple[str, str] | None:
    """Return which of `at` and `edits` has no place in a run's history, and why; None for a fork that can be made.

    The owner decides when it makes the fork; this is for whoever asks for one, by the lines that he can read.
    """
    cut = _rank(lines, at)
    if cut is None:
        return "at", f"the run's journal has no such seq or step: {at}"
    for name in edits:
        rank = _rank(lines, name)
        if rank is None:
            return f"edits.{name}", f"the run's journal has no such seq or step: {name}"
        if rank > cut:
            return f"edits.{name}", f"it comes after the fork at {at}, where it is made anew: fork there or later"
    return None


def _rank(lines: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """Return the seq of the line that a fork would take by this name."""
    for member in ("seq", "path", "name"):
        for line in lines:
            if str(line[member]) == name and (member == "seq" or not str(line["path"]).startswith("~")):
                return int(line["seq"])
    return None


def assembled(event: RunSubmitted, parts: Sequence[str | None]) -> RunSubmitted:
    """Return a submission with the history that came before it; raises ForkError if some of it is missing."""
    given = [part for part in parts if part is not None]
    if len(given) != event.history_parts:
        raise ForkError(f"{len(given)} of {event.history_parts} parts of the history of {event.run_id} came before it")
    return event.model_copy(update={"history": orjson.loads("".join(given))})


def _submission(
    entries: list[Entry], asked: ForkAsked, history: list[dict[str, Any]] | None, parts: int | None
) -> RunSubmitted:
    submitted = next(entry for entry in entries if entry.path == SUBMITTED)
    return RunSubmitted(
        run_id=asked.new_run_id,
        agent=submitted.agent,
        input=submitted.input,
        priority=(submitted.output or {}).get("priority", "default"),
        caller=asked.caller,
        forked_from=submitted.run_id,
        history=history,
        history_parts=parts,
    )


def forked_entries(history: list[dict[str, Any]], journal: Journal) -> list[Entry]:
    """Return a fork's history as entries of the new run."""
    entries = []
    for values in history:
        journal.seq += 1
        entries.append(
            replace(Entry.from_dict(values), run_id=journal.run_id, seq=journal.seq, recorded_ms=journal.now_ms)
        )
    return entries


def _named(entries: list[Entry], name: str) -> Entry:
    """Return the first entry with that seq, else path, else name."""
    text = str(name)
    if text.isdigit():
        for entry in entries:
            if entry.seq == int(text):
                return entry
    for attribute in ("path", "name"):
        for entry in entries:
            if getattr(entry, attribute) == text and entry.path[0] != "~":
                return entry
    names = sorted({entry.name for entry in entries if entry.name and entry.path[0] != "~"})
    raise ForkError(f"no entry is called {name!r}: use a seq of the history or one of {', '.join(names) or 'none'}")


def _edited(entry: Entry, changed: dict[int, Any]) -> Entry:
    if entry.seq not in changed:
        return entry
    return replace(entry, status="completed", output=changed[entry.seq], error=None, due_ms=None)


def _in_history(entry: Entry, prefix: list[Entry]) -> bool:
    path = entry.path
    if path[0] == "~":
        return path.startswith((INBOX, RESUME, "~patch/", "~deadline")) and entry.kind != "cancel"
    if entry.kind in _UNDECIDED:
        return entry.status in DECIDING
    return entry.kind != "late" and bool(prefix)
