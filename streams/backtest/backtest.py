"""A backtest from beginning to end: runs each chosen run through the lanes, scores it, keeps it, and can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.backtest.results import LaneOutcome, RunComparison
from streams.backtest.scorer import ScoredRun

if TYPE_CHECKING:
    from streams.backtest.lanes import Lanes
    from streams.backtest.policies import BudgetMeter, Policies
    from streams.backtest.scorer import Scorer
    from streams.backtest.state_file import StateFile
    from streams.replay.runs import Submission

_ABREAST: Final = 8  # runs that wait for the outside together; recorded ones wait for nothing

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it, and of how much (None: not known)."""


@dataclass(frozen=True, slots=True)
class BacktestEstimate:
    """What a backtest will do at most: `most_usd` for calls of models, by what the observed runs cost."""

    runs: int
    tries: int
    most_usd: float
    most_seconds: float
    asks_outside: bool

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "runs": self.runs,
            "tries": self.tries,
            "most_usd": round(self.most_usd, 6),
            "most_seconds": round(self.most_seconds, 1),
            "asks_outside": self.asks_outside,
        }


def estimate(observed: Sequence[LaneOutcome], policies: Policies, tries: int) -> BacktestEstimate:
    """Return what runs like the observed ones cost again: nothing, where only the log answers."""
    models = 0.0 if policies.models == "recorded" else sum(one.cost_usd for one in observed) * tries
    seconds = 0.0 if policies.closed else sum(one.seconds for one in observed) * tries / _ABREAST
    return BacktestEstimate(len(observed), tries, models, seconds, not policies.closed)


class Backtest:
    """Runs submissions through the lanes; `run` may be called once."""

    def __init__(
        self,
        lanes: Lanes,
        policies: Policies,
        meter: BudgetMeter,
        scorers: Sequence[Scorer] = (),
        state: StateFile | None = None,
        progress: Progress = lambda _what, _done, _of: None,
    ) -> None:
        self._lanes = lanes
        self._abreast = 1 if policies.closed and not scorers else _ABREAST
        self._meter = meter
        self._scorers = tuple(scorers)
        self._state = state
        self._progress = progress
        self._stopping = False
        self.stopped: str | None = None
        self.seconds = 0.0

    def stop(self) -> None:
        """Let `run` return soon, with what was begun done and kept."""
        self._stopping = True

    async def run(self, submissions: Sequence[Submission]) -> list[RunComparison]:
        """Return the runs in the order of the submissions; `stopped` says why there are fewer of them."""
        began = clock.monotonic()
        done = {} if self._state is None else dict(self._state.done)
        found = {one.event.run_id: done[one.event.run_id] for one in submissions if one.event.run_id in done}
        todo = [one for one in submissions if one.event.run_id not in found]
        for first in range(0, len(todo), self._abreast):
            if self._ended():
                break
            group = await asyncio.gather(*(self._one(one) for one in todo[first : first + self._abreast]))
            for run in group:
                if run is not None:
                    found[run.run_id] = run
                    self._keep(run)
            self._progress("runs", len(found), len(submissions))
            await asyncio.sleep(0)  # a recorded run waits for nothing, and Ctrl-C for its turn
        if len(found) < len(submissions):
            self._ended()
        elif self._state is not None:
            self._state.remove()
        self.seconds = clock.monotonic() - began
        return [found[one.event.run_id] for one in submissions if one.event.run_id in found]

    def _ended(self) -> bool:
        if self._meter.exhausted:
            self.stopped = f"the budget of ${self._meter.limit:g} is spent"
        elif self._stopping:
            self.stopped = "it was interrupted"
        return self.stopped is not None

    async def _one(self, submission: Submission) -> RunComparison | None:
        run = await self._lanes.compare(submission)
        if run is None or not self._scorers:
            return run
        baseline = await self._scored(run, run.baseline)
        return run.model_copy(
            update={"baseline": baseline, "candidate": [await self._scored(run, one) for one in run.candidate]}
        )

    async def _scored(self, run: RunComparison, lane: LaneOutcome) -> LaneOutcome:
        output = lane.result if lane.status == "succeeded" else None
        given = ScoredRun(
            run.run_id, run.input, run.observed.result, output, lane.status, lane.error, lane.seconds, lane.cost_usd
        )
        scores: dict[str, float | None] = {}
        for scorer in self._scorers:
            found: Mapping[str, float | None] = await scorer.score(given)
            scores |= found
        return lane.model_copy(update={"scores": scores})

    def _keep(self, run: RunComparison) -> None:
        if self._state is not None:
            self._state.add(run, self._meter.spent)
