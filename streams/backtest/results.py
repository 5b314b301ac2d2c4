"""What a backtest found out about each run, in the form in which it is stored, printed and tested."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

SAME: Final = 1.0


class LaneOutcome(BaseModel):
    """How a run ended in one lane, and what its calls cost when they were made.

    `status` is `unanswered` where an answer was missing and might not be asked for. `scores` are None where a scorer
    gave none.
    """

    model_config = ConfigDict(extra="forbid")

    status: str
    result: Any = None
    error: Any = None
    cost_usd: float = 0.0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    recorded: int = 0
    made: int = 0
    unpriced: int = 0
    equal: bool = True
    same_result: bool = True
    misses: list[str] = Field(default_factory=list)
    scores: dict[str, float | None] = Field(default_factory=dict)


class StepDifference(BaseModel):
    """Where a run parts from what was observed: the first step that differs, or `result`."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    path: str
    observed: Any = None
    candidate: Any = None


class RunComparison(BaseModel):
    """One run in three lanes: as it was observed, replayed with its own code, and run by each try of the candidate."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    agent: str
    input: Any = None
    observed: LaneOutcome
    baseline: LaneOutcome
    candidate: list[LaneOutcome]
    baseline_differences: list[StepDifference] = Field(default_factory=list)
    differences: list[StepDifference] = Field(default_factory=list)
    differing_steps: int = 0
    diff: list[str] = Field(default_factory=list)

    @property
    def first(self) -> LaneOutcome:
        """The first try of the candidate."""
        return self.candidate[0]

    @property
    def disagreement(self) -> float:
        """How far candidate and baseline are apart: what changes for users first, then scores, then steps."""
        baseline, first = self.baseline, self.first
        scores = sum(
            abs(value - known)
            for name, value in first.scores.items()
            if value is not None and (known := baseline.scores.get(name)) is not None
        )
        return 100 * (first.status != baseline.status) + 10 * (not first.same_result) + scores + self.steps_apart

    @property
    def steps_apart(self) -> float:
        """The differing steps as a part of one, so that they order runs that are equal otherwise."""
        return self.differing_steps / (1 + self.differing_steps)


def kind_of(outcome: LaneOutcome, observed: LaneOutcome) -> str:
    """Return equal, failed (it failed and did not before), or different."""
    if outcome.equal:
        return "equal"
    return "failed" if outcome.status == "failed" and observed.status != "failed" else "different"
