"""Runs one stage or step of one run again: all before it is taken from the journal, what it asks from recordings."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from streams.engine.entry import Entry
from streams.engine.view import EFFECTS
from streams.replay.answers import AnswerSource, CallMode
from streams.replay.errors import ReplayError
from streams.replay.recordings import Recordings
from streams.replay.runs import LoggedRuns
from streams.replay.wall import walled
from streams.replay.world import Miss, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.define.agents import Agent
    from streams.model.chat import ChatModel
    from streams.replay.log import ReplayLog
    from streams.replay.run_observations import Observed

_SILENT: Final = frozenset({"scheduled", "cancelled"})


@dataclass(frozen=True, slots=True)
class StepReport:
    """One entry of the stage, as it was recorded and as it came out now."""

    path: str
    kind: str
    name: str
    observed: Any
    replayed: Any

    @property
    def equal(self) -> bool:
        """Whether both are the same."""
        return bool(self.observed == self.replayed)


@dataclass(slots=True)
class StageReport:
    """What a stage came to again: `recorded` answers were found on the log, `made` calls went outside."""

    run_id: str
    agent: str
    stage: str
    steps: list[StepReport] = field(default_factory=list)
    recorded: int = 0
    made: int = 0
    misses: list[Miss] = field(default_factory=list)
    error: str | None = None

    @property
    def equal(self) -> bool:
        """Whether the stage ran to its end and everything in it came out as it was recorded."""
        return bool(self.steps) and not self.misses and self.error is None and all(one.equal for one in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        plain = asdict(self)
        plain["steps"] = [{**asdict(one), "equal": one.equal} for one in self.steps]
        return {**plain, "equal": self.equal}


async def run_stage(
    log: ReplayLog,
    run_id: str,
    stage: str,
    *,
    calls: CallMode = "recorded",
    model: Callable[[], ChatModel] | None = None,
    model_name: str | None = None,
) -> StageReport:
    """Read a run from the log and run one of its stages again; nothing is written.

    `stage` is the name of a stage, or a step by seq, path or name, as in the run's history. Raises ReplayError for a
    run or stage that the log does not have.
    """

    def read() -> LoggedRuns:
        runs = log.runs([run_id], 0)
        if run_id not in runs:
            raise ReplayError(f"the log has no run {run_id}: see `streams runs list`")
        since = runs[run_id].entries[0].recorded_ms
        return LoggedRuns(runs, Recordings(log.calls(since), model=model_name))

    known = await asyncio.to_thread(read)
    return await replay_stage(log.catalog.agents, known, run_id, stage, mode=calls, model=model)


async def replay_stage(
    agents: Mapping[str, Agent[Any, Any]],
    known: LoggedRuns,
    run_id: str,
    stage: str,
    *,
    mode: CallMode = "recorded",
    model: Callable[[], ChatModel] | None = None,
) -> StageReport:
    """Run one stage of a known run again; raises ReplayError if the run has no such stage."""
    observed = known.runs[run_id]
    cut = _named(observed, stage)
    if cut.agent not in agents:
        raise ReplayError(f"agent {cut.agent!r} of run {run_id} is not known here: name its package in STREAMS_APPS")
    world = World(agents, AnswerSource(known.recordings, mode, model), known.runs)
    before = [entry for entry in observed.entries if entry.seq < _first(observed, cut)]
    over = f"{cut.path}~end" if cut.kind == "stage" else cut.path
    report = StageReport(run_id, cut.agent, cut.name)
    with walled() if mode == "recorded" else nullcontext():
        await world.restore(run_id, before)
        journal = world.machines[run_id].journal
        while not _decided(journal.entries[len(before) :], over) and await world.turn():
            pass
    _compare(observed, cut, over, journal.entries[len(before) :], report)
    if journal.view.error is not None and not observed.view.error:
        report.error = str(journal.view.error.get("message"))
    report.misses = world.misses
    report.recorded = sum(tally.recorded for tally in world.tallies.values())
    report.made = sum(tally.made for tally in world.tallies.values())
    world.drop()
    return report


def _named(observed: Observed, name: str) -> Entry:
    """Return the entry at which a stage begins, or the one that a step came to."""
    for entry in observed.entries:
        if entry.kind == "stage" and entry.name == name:
            return entry
    steps = [
        one for one in observed.entries if one.path[0] != "~" and one.kind in EFFECTS and one.status not in _SILENT
    ]
    for entry in steps:
        if name in (str(entry.seq), entry.path, entry.name):
            return entry
    known = sorted({one.name for one in observed.entries if one.kind == "stage"} | {one.name for one in steps})
    raise ReplayError(
        f"run {observed.view.run_id} has no stage or step {name!r}: there are {', '.join(known) or 'none'}"
    )


def _first(observed: Observed, cut: Entry) -> int:
    """Return the rank at which a stage begins; when it timed out, its own entry is younger than what is in it."""
    inside = [entry.seq for entry in observed.entries if cut.kind == "stage" and entry.stage == cut.name]
    return min([cut.seq, *inside])


def _decided(entries: list[Entry], path: str) -> bool:
    return any(entry.path == path and entry.status != "scheduled" for entry in entries)


def _compare(observed: Observed, cut: Entry, over: str, replayed: list[Entry], report: StageReport) -> None:
    """Hold each entry of the stage against what came out under its path."""
    last = next((entry.seq for entry in observed.entries if entry.path == over and entry.seq >= cut.seq), None)
    first = _first(observed, cut)
    now = {(entry.path, entry.resume): entry for entry in replayed}
    for entry in observed.entries:
        if entry.seq < first or (last is not None and entry.seq > last) or entry.path[0] == "~":
            continue
        if entry.kind in ("stage", "stage_end") or (cut.kind != "stage" and entry.path != cut.path):
            continue
        if cut.kind == "stage" and entry.stage != cut.name:
            continue
        again = now.get((entry.path, entry.resume))
        report.steps.append(StepReport(entry.path, entry.kind, entry.name, _came_to(entry), _came_to(again)))


def _came_to(entry: Entry | None) -> Any:
    if entry is None:
        return None
    error = entry.error
    if isinstance(error, dict):
        error = {name: value for name, value in error.items() if name not in ("traceback", "rejected")}
    return {"status": entry.status, "output": entry.output, "error": error}
