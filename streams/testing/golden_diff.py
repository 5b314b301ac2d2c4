"""Shows in a few lines where the code and a golden run part: the first step that differs, and how the run ends."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.engine.jsonable import args_to_json
from streams.replay.world import Miss
from streams.telemetry import redact_json

if TYPE_CHECKING:
    from streams.engine.decision import Perform
    from streams.engine.entry import Entry
    from streams.model.chat import ChatRequest
    from streams.testing.golden_file import GoldenRun

_WIDTH: Final = 100  # characters of arguments or of a result on one line
_LINES: Final = 40  # of a diff
_DECIDED: Final = frozenset({"completed", "failed", "fired", "timed_out"})
_UNORDERED: Final = "~"  # begins paths of what happens to a run, and not in its function

_Place = tuple[str, str, int]  # run, path, resume


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out: journals and the model calls used, the outcome, and what was asked for by run and path."""

    journals: dict[str, list[Entry]]
    outcome: dict[str, Any]
    error: Any
    performs: Mapping[tuple[str, str], Perform]
    requests: Mapping[tuple[str, str], ChatRequest]
    calls: list[dict[str, Any]]


class _Step(NamedTuple):
    """A step as it is compared (`identity`) and as it is shown."""

    place: _Place
    identity: tuple[Any, ...]
    kind: str
    name: str
    arguments: Any
    outcome: str

    @property
    def title(self) -> str:
        """The step on one line."""
        return f"{self.kind} {self.name}{_brief(self.arguments)}{self.outcome}"


def difference_text(golden: GoldenRun, replayed: Replayed, misses: Iterable[Miss]) -> str | None:
    """Return what differs as lines of text, None if nothing does."""
    expected_outcome = golden.outcome()
    missing = {(miss.run_id, miss.path): miss for miss in misses}
    found = _first_difference(_recorded_steps(golden), _actual_steps(replayed, missing))
    same_end = _comparable(expected_outcome) == _comparable(replayed.outcome)
    if found is None and same_end:
        return None
    where = "" if found is None else f" from step {found[0]} on"
    lines = [f"run {golden.run_id} of agent {golden.agent} differs from its golden run{where}"]
    if found is not None:
        lines += _step_lines(golden, *found, missing)
    lines += _outcome_lines(expected_outcome, replayed, same_end=same_end)
    return "\n".join(lines)


_Difference = tuple[int, _Step | None, _Step | None]  # number in its run, expected and actual step


def _first_difference(expected: list[_Step], actual: list[_Step]) -> _Difference | None:
    """Return the difference to show: of a run that asks for something else before one that only waits for it."""
    runs = dict.fromkeys(step.place[0] for step in (*expected, *actual))
    found = [
        one for run in runs if (one := _difference_in_run(_of_run(expected, run), _of_run(actual, run))) is not None
    ]
    return min(found, key=lambda one: one[2] is None, default=None)


def _of_run(steps: list[_Step], run: str) -> list[_Step]:
    return [step for step in steps if step.place[0] == run]


def _difference_in_run(expected: list[_Step], actual: list[_Step]) -> _Difference | None:
    """Return the earliest difference; steps of a path belong together, else those of a number."""
    by_place = {step.place: step for step in actual}
    known = {step.place for step in expected}
    pairs = [(number, step, by_place.get(step.place)) for number, step in enumerate(expected, 1)]
    changed = next((one for one in pairs if one[2] is None or one[2].identity != one[1].identity), None)
    added = next(((number, None, step) for number, step in enumerate(actual, 1) if step.place not in known), None)
    if changed is None or added is None:
        return changed or added
    if changed[0] == added[0] and changed[2] is None:
        return changed[0], changed[1], added[2]
    return changed if changed[0] <= added[0] else added


def _recorded_steps(golden: GoldenRun) -> list[_Step]:
    requests: dict[tuple[str, str], Any] = {}
    for call in golden.calls:
        requests.setdefault((call["run_id"], call["path"]), call["request"])
    return [
        _step(entry, golden.journals, requests.get((run, entry.path)))
        for run, entries in golden.journals.items()
        for entry in entries
        if _is_compared(entry)
    ]


def _actual_steps(replayed: Replayed, missing: Mapping[tuple[str, str], Miss]) -> list[_Step]:
    """Return the steps that were decided and, behind those of their run, the ones that nothing answers."""
    steps = []
    for run, entries in replayed.journals.items():
        for entry in entries:
            if _is_compared(entry) and (run, entry.path) not in missing:
                request = replayed.requests.get((run, entry.path))
                steps.append(_step(entry, replayed.journals, None if request is None else request.to_json()))
        steps += [_missing_step(replayed, miss) for place, miss in missing.items() if place[0] == run]
    return steps


def _is_compared(entry: Entry) -> bool:
    return not entry.path.startswith(_UNORDERED) and entry.kind != "late" and entry.status != "cancelled"


def _step(entry: Entry, journals: Mapping[str, list[Entry]], request: Any) -> _Step:
    arguments = entry.input
    outcome = "" if entry.status in _DECIDED - {"failed"} else f" [{entry.status}]"
    if entry.kind == "llm" and request is not None:
        arguments = _conversation(request)
    elif entry.kind == "call":
        arguments = _child_input(entry, journals)
    elif entry.kind == "wait":
        arguments = None  # it shows the id of the signal, which is new each time
    elif entry.kind == "progress":
        arguments = entry.progress
    status = entry.status if entry.status in _DECIDED and entry.kind != "call" else None  # a child is compared itself
    same = (entry.kind, entry.name, entry.digest, status, entry.progress)
    asked = (*same, entry.input if entry.kind == "sleep" else None)
    return _Step((entry.run_id, entry.path, entry.resume), asked, entry.kind, entry.name, arguments, outcome)


def _missing_step(replayed: Replayed, miss: Miss) -> _Step:
    perform = replayed.performs.get((miss.run_id, miss.path))
    request = replayed.requests.get((miss.run_id, miss.path))
    if perform is None:  # a child whose agent is gone
        return _Step((miss.run_id, miss.path, 0), ("missing",), miss.kind, miss.name, None, "")
    arguments: Any = perform.args
    if request is not None:
        arguments = _conversation(request.to_json())
    elif perform.kind == "step":
        args, kwargs = perform.args["args"], perform.args["kwargs"]
        arguments = args_to_json([args, kwargs] if kwargs else args)
    place = (miss.run_id, miss.path, perform.resume)
    return _Step(place, ("missing",), miss.kind, miss.name, arguments, "")


def _child_input(entry: Entry, journals: Mapping[str, list[Entry]]) -> Any:
    """Return what a child was submitted with; the entry of its ending names only the child."""
    child = entry.input.get("child") if isinstance(entry.input, dict) else None
    child = child or (entry.output or {}).get("child")
    return journals[child][0].input if child is not None and child in journals else entry.input


def _conversation(request: Any) -> Any:
    """Return a request to a model as text: its messages, then what else determines the answer."""
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        return request
    lines = [f"{one.get('role')}: {_text(one.get('content'))}" for one in request["messages"] if isinstance(one, dict)]
    rest = {name: value for name, value in request.items() if name != "messages" and value not in (None, "", {}, [])}
    return "\n".join([*lines, *([_text(rest)] if rest else [])])


# lines


def _step_lines(
    golden: GoldenRun,
    number: int,
    expected: _Step | None,
    actual: _Step | None,
    missing: Mapping[tuple[str, str], Miss],
) -> Iterator[str]:
    at = actual or expected
    if at is None:
        return
    run, path, _ = at.place
    child = "" if run == golden.run_id else f" of its child {run}"
    yield f"  step {number} (path {path}{child})"
    yield f"    expected  {'no further step' if expected is None else expected.title}"
    yield f"    actual    {'the code does not come to this step' if actual is None else actual.title}"
    if actual is not None and (run, path) in missing:
        yield f"    not recorded: {actual.kind} {actual.name} has no recorded answer to these arguments"
    if expected is not None and actual is not None and (expected.kind, expected.name) == (actual.kind, actual.name):
        if expected.place != actual.place:
            yield f"    at another place of the function: path {path} instead of {expected.place[1]}"
        elif expected.arguments == actual.arguments and expected.outcome == actual.outcome:
            yield "    its arguments differ in what the journal keeps only a digest of"
        yield from _diff(expected.arguments, actual.arguments)


def _outcome_lines(expected: dict[str, Any], replayed: Replayed, *, same_end: bool) -> Iterator[str]:
    if same_end:
        yield f"  outcome  {_end(expected)}, as recorded"
        return
    yield "  outcome"
    yield f"    expected  {_end(expected)}"
    yield f"    actual    {_end(replayed.outcome)}"
    if expected["status"] == replayed.outcome["status"]:
        key = "result" if expected["status"] == "succeeded" else "error"
        yield from _diff(expected[key], replayed.outcome[key])
    trace = (replayed.error or {}).get("traceback") if replayed.outcome["status"] == "failed" else None
    if trace:
        yield from (f"    | {line}" for line in str(trace).rstrip().splitlines()[-8:])


def _end(outcome: Mapping[str, Any]) -> str:
    if outcome["status"] == "unanswered":
        return "none: the step above cannot be answered"
    error = outcome["error"]
    if isinstance(error, dict):
        kind = f"{error['type']}: " if error.get("type") else ""
        return _cut(f"{outcome['status']}: {kind}{error.get('message') or error.get('reason') or ''}")
    return f"{outcome['status']}: {_cut(_text(outcome['result'], indent=None))}"


def _comparable(outcome: Mapping[str, Any]) -> str:
    return json.dumps([outcome["status"], outcome["result"], outcome["error"]], sort_keys=True)


def _diff(expected: Any, actual: Any) -> Iterator[str]:
    before, after = _text(expected).splitlines(), _text(actual).splitlines()
    if before == after or (len(before) + len(after) <= 2 and max(map(len, [*before, *after]), default=0) <= _WIDTH):
        return  # nothing to see, or seen already
    lines = list(difflib.unified_diff(before, after, "expected", "actual", n=2, lineterm=""))[2:]
    yield from (f"      {line}" for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"      … {len(lines) - _LINES} more lines"


def _brief(arguments: Any) -> str:
    if arguments is None:
        return ""
    if isinstance(arguments, dict):
        listed = ", ".join(f"{name}={_text(value, indent=None)}" for name, value in redact_json(arguments).items())
        return f"({_cut(listed)})"
    return f"({_cut(_text(arguments, indent=None))})"


def _text(value: Any, *, indent: int | None = 2) -> str:
    """Return a value as JSON, and text that is to be read in lines as it is; credentials are masked."""
    masked = redact_json(value)
    if isinstance(masked, str) and indent is not None:
        return masked
    return json.dumps(masked, ensure_ascii=False, indent=indent, sort_keys=True, default=str)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
