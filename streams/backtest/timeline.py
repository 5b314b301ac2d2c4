"""The timeline of a run with its descendants, and where two timelines part."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from streams.engine.jsonable import args_to_json
from streams.telemetry import redact_json

if TYPE_CHECKING:
    from streams.engine.decision import Perform
    from streams.engine.entry import Entry

_WIDTH: Final = 160  # characters of a step on one line
_OWN: Final = "~"  # begins the paths of what happens to a run, and not in its function
_UNSHOWN: Final = frozenset({"late", "stage_end"})
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class TimelineStep:
    """A step of a run: where it stands, what was asked and what came of it.

    `run` is the run's place in its family: empty for the run itself, else the path of each call that led to it.
    `digest` decides whether two steps were asked the same: `arguments` are for people, and large ones are cut.
    """

    run: str
    path: str
    resume: int
    kind: str
    name: str
    digest: str
    status: str
    arguments: Any
    output: Any
    error: Any

    @property
    def place(self) -> tuple[str, str, int]:
        """Where the step stands in its family."""
        return self.run, self.path, self.resume

    @cached_property
    def content(self) -> str:
        """All that makes the step equal to another one, wherever that stands."""
        parts = [self.kind, self.name, self.digest, self.status, self.output, _named_only(self.error)]
        return json.dumps(parts, sort_keys=True, default=str)

    @property
    def title(self) -> str:
        """The step on one line; credentials are masked."""
        asked = "" if self.arguments is None else _line(self.arguments)
        came = f" → {_line(self.output)}" if self.output is not None else ""
        if isinstance(self.error, dict):
            came = f" → {self.error.get('type', '')}: {self.error.get('message', '')}"
        status = "" if self.status in ("completed", "fired") or self.kind == "stage" else f" [{self.status}]"
        return _cut(f"{self.kind} {self.name}({asked}){status}{came}")

    def to_json(self) -> dict[str, Any]:
        """Return the step as reports show it."""
        shown = {"kind": self.kind, "name": self.name, "status": self.status, "arguments": self.arguments}
        return {**shown, "output": self.output, "error": _named_only(self.error)}


def timeline(
    root: str, journals: Mapping[str, Iterable[Entry]], unanswered: Mapping[tuple[str, str], Perform] | None = None
) -> list[TimelineStep]:
    """Return the steps of a run and its descendants in the order of their places.

    `unanswered` are attempts that nothing answered, by run and path: the journal does not have them.
    """
    latest = {run: _last_of_each_key(entries) for run, entries in journals.items()}
    families = {root: ""}
    steps: list[TimelineStep] = []
    todo = [root]
    while todo:
        run = todo.pop(0)
        for entry in sorted(latest.get(run, []), key=lambda one: _rank(one.path)):
            child = _child(entry)
            if child is not None and child not in families:
                families[child] = f"{families[run]}/{entry.path}"
                todo.append(child)
            if _is_step(entry) and (run, entry.path) not in (unanswered or {}):
                steps.append(_step(families[run], entry, latest))
    steps += [
        _unanswered_step(families[run], perform) for (run, _), perform in (unanswered or {}).items() if run in families
    ]
    return sorted(steps, key=lambda step: _place_rank(step.place))


def first_difference(
    before: Sequence[TimelineStep], after: Sequence[TimelineStep]
) -> tuple[TimelineStep | None, TimelineStep | None] | None:
    """Return the earliest steps that differ, None if no step does; one of them is None where there is none."""
    old, new = {step.place: step for step in before}, {step.place: step for step in after}
    for place in sorted({*old, *new}, key=_place_rank):
        one, other = old.get(place), new.get(place)
        if one is None or other is None or one.content != other.content:
            return one, other
    return None


def differing_steps(before: Sequence[TimelineStep], after: Sequence[TimelineStep]) -> int:
    """Return at how many places two timelines differ."""
    old, new = {step.place: step.content for step in before}, {step.place: step.content for step in after}
    return sum(old.get(place) != new.get(place) for place in {*old, *new})


def diff_lines(before: Sequence[TimelineStep], after: Sequence[TimelineStep], *, most: int = 200) -> list[str]:
    """Return two timelines as lines: those of one alone begin with - or +, equal ones with a blank."""
    old, new = [step.content for step in before], [step.content for step in after]
    lines: list[str] = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += _equal_lines(before[i1:i2])
            continue
        lines += [f"- {_at(step)}{step.title}" for step in before[i1:i2]]
        lines += [f"+ {_at(step)}{step.title}" for step in after[j1:j2]]
        if i2 - i1 == j2 - j1 == 1:
            lines += _details(before[i1], after[j1])
    return lines if len(lines) <= most else [*lines[:most], f"  … {len(lines) - most} more lines"]


_AROUND: Final = 2  # equal steps that are shown before and after a difference


def _equal_lines(steps: Sequence[TimelineStep]) -> Iterator[str]:
    left_out = len(steps) - 2 * _AROUND
    for number, step in enumerate(steps):
        if left_out <= 1 or number < _AROUND or number >= len(steps) - _AROUND:
            yield f"  {_at(step)}{step.title}"
        elif number == _AROUND:
            yield f"  … {left_out} equal steps"


def _details(one: TimelineStep, other: TimelineStep) -> Iterator[str]:
    """Yield how arguments and output of a changed step differ, line by line."""
    for before, after in ((one.arguments, other.arguments), (one.output, other.output)):
        old, new = _text(before).splitlines(), _text(after).splitlines()
        if old != new and len(old) + len(new) > 2:
            yield from (f"    {line}" for line in list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:22])


def _last_of_each_key(entries: Iterable[Entry]) -> list[Entry]:
    last = {(entry.path, entry.resume): entry for entry in sorted(entries, key=lambda entry: entry.seq)}
    return list(last.values())


def _is_step(entry: Entry) -> bool:
    return not entry.path.startswith(_OWN) and entry.kind not in _UNSHOWN and entry.status != "cancelled"


def _step(run: str, entry: Entry, journals: Mapping[str, list[Entry]]) -> TimelineStep:
    arguments, output = entry.input, entry.output
    if entry.kind == "call":
        child = _child(entry)
        arguments = next((one.input for one in journals.get(child or "", ()) if one.path == "~submitted"), None)
        output = None if entry.status == "scheduled" else output
    elif entry.kind in ("wait", "start"):
        arguments = arguments if entry.kind == "start" else None  # ids, which are new in each run
        output = None if entry.kind == "start" else output
    elif entry.kind == "progress":
        arguments = entry.progress
    asked = (entry.kind, entry.name, entry.digest, entry.status)
    return TimelineStep(run, entry.path, entry.resume, *asked, arguments, output, entry.error)


def _unanswered_step(run: str, perform: Perform) -> TimelineStep:
    given = perform.args
    arguments: Any = given
    if perform.kind == "llm":
        args = args_to_json(list(given.get("args", ())))
        arguments = {"prompt": str(given["prompt"]), "args": args, "params": given.get("params") or {}}
    elif perform.kind == "step":
        arguments = args_to_json([given["args"], given["kwargs"]] if given["kwargs"] else given["args"])
    asked = (perform.kind, perform.name, "", "unanswered")
    return TimelineStep(run, perform.path, perform.resume, *asked, arguments, None, None)


def _child(entry: Entry) -> str | None:
    """Return the id of the run that an entry called or started."""
    if entry.kind == "start":
        return entry.output if isinstance(entry.output, str) else None
    if entry.kind != "call":
        return None
    known = entry.output if entry.status == "scheduled" else entry.input
    return known.get("child") if isinstance(known, dict) else None


def _named_only(error: Any) -> Any:
    """Return an error without traceback, ids and notes of its handling, which a replay does not repeat."""
    return {name: error.get(name) for name in ("type", "message")} if isinstance(error, dict) else error


def _rank(path: str) -> tuple[tuple[int, ...], str]:
    return tuple(int(one) for one in _NUMBER.findall(path)), path


def _place_rank(place: tuple[str, str, int]) -> tuple[Any, ...]:
    run, path, resume = place
    return (*_rank(run), *_rank(path), resume)


def _at(step: TimelineStep) -> str:
    return f"{step.path} " if not step.run else f"{step.run.lstrip('/')}: {step.path} "


def _text(value: Any) -> str:
    masked = redact_json(value)
    if isinstance(masked, str):
        return masked
    return json.dumps(masked, ensure_ascii=False, indent=2, sort_keys=True, default=str)


def _line(value: Any) -> str:
    masked = redact_json(value)
    return json.dumps(masked, ensure_ascii=False, sort_keys=True, default=str)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
