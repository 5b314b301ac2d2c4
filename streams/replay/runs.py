"""Runs submissions of an agent's queue again and holds each outcome against the one on the log."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams.replay.answers import AnswerSource, CallMode
from streams.replay.compare import differences
from streams.replay.recordings import Recordings
from streams.replay.report import RunReport
from streams.replay.run_observations import Observed, outcome_of
from streams.replay.wall import walled
from streams.replay.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from schemas.run import RunSubmitted
    from streams.define.agents import Agent
    from streams.model.chat import ChatModel


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission and when it came, in milliseconds since the epoch; `offset` None for one that is not on the log."""

    event: RunSubmitted
    at_ms: int
    partition: int = 0
    offset: int | None = None


@dataclass(slots=True)
class LoggedRuns:
    """What the log holds for the runs of a replay."""

    runs: Mapping[str, Observed] = field(default_factory=dict)
    recordings: Recordings = field(default_factory=Recordings)


class Rerun:
    """Runs again, one root run with its descendants at a time; `agents` are the functions that handle them now."""

    def __init__(
        self,
        agents: Mapping[str, Agent[Any, Any]],
        known: LoggedRuns,
        mode: CallMode = "recorded",
        model: Callable[[], ChatModel] | None = None,
    ) -> None:
        self._agents = agents
        self._known = known
        self._mode: CallMode = mode
        self._model = model

    async def root(self, submission: Submission) -> tuple[list[RunReport], World]:
        """Run one submission again; return a report for it and each run it led to, and the world with its outputs."""
        world = World(self._agents, AnswerSource(self._known.recordings, self._mode, self._model), self._known.runs)
        world.submit(submission.event, submission.at_ms)
        with walled() if self._mode == "recorded" else nullcontext():
            await world.run()
        reports = [self._report(world, run_id) for run_id in world.machines]
        world.drop()
        return reports, world

    def _report(self, world: World, run_id: str) -> RunReport:
        machine, observed = world.machines[run_id], self._known.runs.get(run_id)
        status, tally = world.status(run_id), world.tallies[run_id]
        report = RunReport(
            run_id,
            machine.agent.name,
            None if observed is None else observed.view.status,
            status,
            None,
            recorded=tally.recorded,
            made=tally.made,
            parent=machine.journal.view.meta.get("parent"),
        )
        if observed is not None and observed.ended:
            now = {**outcome_of(machine.view()), "status": status}
            report.differences = differences(outcome_of(observed.view), now)
            report.equal = not report.differences
        return report


def roots(submissions: Iterable[Submission], known: Mapping[str, Observed]) -> tuple[list[Submission], dict[str, int]]:
    """Return the submissions to run again, and how many are left out by reason.

    A run that is still under way has no outcome to hold against; a child whose parent is run again comes with it.
    """
    listed: dict[str, Submission] = {}
    left: dict[str, int] = {}
    for submission in submissions:
        event = submission.event
        observed = known.get(event.run_id)
        reason = None
        if event.run_id in listed:
            reason = "submitted again"
        elif observed is not None and not observed.ended:
            reason = "still under way"
        if reason is None:
            listed[event.run_id] = submission
        else:
            left[reason] = left.get(reason, 0) + 1
    tops = [one for one in listed.values() if one.event.parent not in listed]
    if len(tops) < len(listed):
        left["run again with their parent"] = len(listed) - len(tops)
    return tops, left
