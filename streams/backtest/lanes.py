"""Runs one recorded run through the lanes: observed, baseline replayed, and candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from streams.backtest.answers import CallRecordings, LaneAnswers
from streams.backtest.policies import BudgetMeter, Policies
from streams.backtest.results import LaneOutcome, RunComparison, StepDifference
from streams.backtest.timeline import TimelineStep, diff_lines, differing_steps, first_difference, timeline
from streams.engine.view import EFFECTS
from streams.replay.compare import differences
from streams.replay.run_observations import Observed, outcome_of
from streams.replay.wall import walled
from streams.replay.world import World

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.model.chat import ChatModel
    from streams.replay.runs import Submission

_TURNS: Final = 10_000  # things that may happen beyond ten for each recorded entry: code may repeat itself for ever

Agents = Mapping[str, "Agent[Any, Any]"]


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """What the log holds for the runs of a backtest: their journals and their descendants', and the calls."""

    runs: Mapping[str, Observed]
    calls: CallRecordings = field(default_factory=CallRecordings)


@dataclass(frozen=True, slots=True)
class CandidateLane:
    """What runs in the candidate's lane, and whence its calls are answered; `model` makes the model to ask."""

    agents: Agents
    policies: Policies = field(default_factory=Policies)
    model: Callable[[], ChatModel] | None = None
    tries: int = 1


@dataclass(frozen=True, slots=True)
class LaneRun:
    """What came out of one lane: the outcome, the steps, and whether the budget ended it."""

    outcome: LaneOutcome
    steps: list[TimelineStep]
    out_of_budget: bool = False


class Lanes:
    """Runs submissions through the lanes. `baseline` are the agents as they are."""

    def __init__(self, known: RecordedRuns, baseline: Agents, candidate: CandidateLane, meter: BudgetMeter) -> None:
        self._known = known
        self._baseline = CandidateLane(baseline)
        self._candidate = candidate
        self._meter = meter

    async def compare(self, submission: Submission) -> RunComparison | None:
        """Return one run in all lanes, None if the budget was spent before it ended."""
        run_id = submission.event.run_id
        observed = self.observed(run_id)
        baseline = await self._run(submission, self._baseline)
        tries = [await self._run(submission, self._candidate) for _ in range(self._candidate.tries)]
        if any(one.out_of_budget for one in tries):
            return None
        return _comparison(submission, observed, baseline, tries)

    def observed(self, run_id: str) -> LaneRun:
        """Return a run as the log has it."""
        family = _family(run_id, self._known.runs)
        root = family[run_id]
        outcome = LaneOutcome(**outcome_of(root.view))
        for one in family.values():
            used = one.view.totals()
            outcome = outcome.model_copy(
                update={
                    "cost_usd": outcome.cost_usd + (used["cost_usd"] or 0.0),
                    "input_tokens": outcome.input_tokens + used["input_tokens"],
                    "output_tokens": outcome.output_tokens + used["output_tokens"],
                    "unpriced": outcome.unpriced + used.get("unpriced", 0),
                    "seconds": outcome.seconds + _effect_seconds(one.entries),
                }
            )
        return LaneRun(outcome, timeline(run_id, {run: one.entries for run, one in family.items()}))

    async def _run(self, submission: Submission, lane: CandidateLane) -> LaneRun:
        run_id = submission.event.run_id
        answers = LaneAnswers(self._known.calls, lane.policies, self._meter, lane.model)
        world = World(lane.agents, answers, self._known.runs)
        world.submit(submission.event, submission.at_ms)
        turns = _TURNS + 10 * len(self._known.runs[run_id].entries)
        with walled():
            while turns and await world.turn():
                turns -= 1
        machine = world.machines[run_id]
        outcome = LaneOutcome(
            **{**outcome_of(machine.view()), "status": world.status(run_id) if turns else "endless"},
            **asdict(answers.usage),
            misses=[f"{one.kind} {one.name} (path {one.path} of run {one.run_id}): {one.why}" for one in world.misses],
        )
        missing = {(one.run_id, one.path) for one in world.misses}
        unanswered = {place: perform for place, perform in answers.unanswered.items() if place in missing}
        steps = timeline(run_id, {run: one.journal.entries for run, one in world.machines.items()}, unanswered)
        world.drop()
        return LaneRun(outcome, steps, answers.out_of_budget)


def _comparison(submission: Submission, observed: LaneRun, baseline: LaneRun, tries: list[LaneRun]) -> RunComparison:
    run_id, first = submission.event.run_id, tries[0]
    return RunComparison(
        run_id=run_id,
        agent=submission.event.agent,
        input=submission.event.input,
        observed=observed.outcome,
        baseline=_judged(observed, baseline),
        candidate=[_judged(observed, one) for one in tries],
        baseline_differences=_differences(run_id, observed, baseline),
        differences=_differences(run_id, observed, first),
        differing_steps=differing_steps(observed.steps, first.steps),
        diff=[] if _same_steps(observed, first) else diff_lines(observed.steps, first.steps),
    )


def _judged(observed: LaneRun, lane: LaneRun) -> LaneOutcome:
    same = _ending(lane.outcome) == _ending(observed.outcome)
    return lane.outcome.model_copy(update={"same_result": same, "equal": same and _same_steps(observed, lane)})


def _same_steps(observed: LaneRun, lane: LaneRun) -> bool:
    return first_difference(observed.steps, lane.steps) is None


def _ending(outcome: LaneOutcome) -> dict[str, Any]:
    return {"status": outcome.status, "result": outcome.result, "error": outcome.error}


def _differences(run_id: str, observed: LaneRun, lane: LaneRun) -> list[StepDifference]:
    """Return the first step that differs, and the parts of the outcome that do."""
    found: list[StepDifference] = []
    steps = first_difference(observed.steps, lane.steps)
    if steps is not None:
        before, after = steps
        place = before or after
        path = "" if place is None else "/".join(part for part in (place.run.lstrip("/"), place.path) if part)
        found.append(
            StepDifference(
                run_id=run_id,
                path=path,
                observed=None if before is None else before.to_json(),
                candidate=None if after is None else after.to_json(),
            )
        )
    return found + [
        StepDifference(run_id=run_id, path=one["at"], observed=one["observed"], candidate=one["replayed"])
        for one in differences(_ending(observed.outcome), _ending(lane.outcome))
    ]


def _family(root: str, runs: Mapping[str, Observed]) -> dict[str, Observed]:
    """Return a run and its descendants."""
    family: dict[str, Observed] = {}
    todo = [root]
    while todo:
        run = todo.pop()
        if run in runs and run not in family:
            family[run] = runs[run]
            todo += sorted(runs[run].children())
    return family


def _effect_seconds(entries: Iterable[Entry]) -> float:
    return sum(
        max(entry.finished_ms - entry.started_ms, 0) / 1000
        for entry in entries
        if entry.kind in EFFECTS and entry.status in ("completed", "failed") and entry.finished_ms and entry.started_ms
    )
