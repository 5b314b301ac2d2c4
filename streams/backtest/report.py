"""What a backtest found out about all runs together: lanes, scores, cohorts, examples, and whether the gate holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from typing import TYPE_CHECKING, Any, Final

from streams.backtest.expression import BASELINE
from streams.backtest.results import SAME, LaneOutcome, RunComparison, kind_of
from streams.backtest.statistics import PairedDifference, paired, pass_at

if TYPE_CHECKING:
    from streams.backtest.backtest import BacktestEstimate
    from streams.backtest.expression import Expression

EXAMPLES: Final = 50  # runs that are shown with both timelines
_SHARES: Final = ("equal", "same_result", "different", "failed", "unanswered")
_VALUES: Final[dict[str, Callable[[LaneOutcome], float]]] = {
    "equal": lambda lane: float(lane.equal),
    "same_result": lambda lane: float(lane.same_result),
    "cost_usd": lambda lane: lane.cost_usd,
    "seconds": lambda lane: lane.seconds,
}


def measures(scores: Sequence[str], tries: int) -> tuple[str, ...]:
    """Return the names that a gate may use."""
    return (*_SHARES, "cost", "seconds", "runs", "drift", *scores, *_pass_names(tries))


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and whether it holds; `reason` says why it does not where its expression alone does not say it."""

    expression: str
    passed: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """All runs of a backtest; `left_out` counts others by reason, `stopped` says why it is partial."""

    agent: str
    candidate: tuple[str, ...]
    policies: Mapping[str, str]
    tries: int
    score_names: tuple[str, ...]
    runs: Sequence[RunComparison]
    left_out: Mapping[str, int] = field(default_factory=dict)
    estimate: BacktestEstimate | None = None
    spent_usd: float = 0.0
    seconds: float = 0.0
    stopped: str | None = None
    gate: Expression | None = None

    @property
    def drift(self) -> int:
        """How many runs differ from what was observed although their code did not change."""
        return sum(not run.baseline.equal for run in self.runs)

    def lanes(self) -> dict[str, Any]:
        """Return counts and costs of each lane; of several tries the first counts."""
        observed = Counter(run.observed.status for run in self.runs)
        return {
            "observed": {**observed, **_costs([run.observed for run in self.runs])},
            BASELINE: self._lane(lambda run: run.baseline),
            "candidate": self._lane(lambda run: run.first),
        }

    def scores(self, runs: Sequence[RunComparison] | None = None) -> dict[str, PairedDifference]:
        """Return what the candidate changes, by score, over all runs or some of them."""
        chosen = self.runs if runs is None else runs
        found: dict[str, PairedDifference | None] = {
            name: paired([(value(run.baseline), value(run.first)) for run in chosen]) for name, value in _VALUES.items()
        }
        for name in self.score_names:
            found[name] = paired(_score_pairs(chosen, name))
        for name, k in _pass_names(self.tries).items():
            found[name] = paired([self._pass_pair(run, k) for run in chosen])
        return {name: one for name, one in found.items() if one is not None}

    def cohorts(self) -> list[dict[str, Any]]:
        """Return counts and scores of the runs of each agent and observed status."""
        groups: dict[tuple[str, str], list[RunComparison]] = {}
        for run in self.runs:
            groups.setdefault((run.agent, run.observed.status), []).append(run)
        return [
            {
                "agent": agent,
                "status": status,
                "runs": len(runs),
                **_kinds(runs, lambda run: run.first),
                "scores": {name: asdict(one) for name, one in self.scores(runs).items()},
            }
            for (agent, status), runs in sorted(groups.items())
        ]

    def examples(self) -> list[RunComparison]:
        """Return the runs that are not equal, those that are farthest apart first."""
        differing = [run for run in self.runs if not run.first.equal or run.disagreement]
        return sorted(differing, key=lambda run: (-run.disagreement, run.run_id))[:EXAMPLES]

    def gate_result(self) -> GateResult | None:
        """Return whether the gate holds: never for a part of the runs, nor for none.

        It fails as well where the baseline drifts, unless its expression is about that.
        """
        if self.gate is None:
            return None
        reason = None
        if not self.runs:
            reason = "no run was chosen"
        elif self.stopped is not None:
            reason = f"only a part of the runs was run: {self.stopped}"
        elif self.drift and "drift" not in self.gate.text:
            reason = f"the baseline differs from what was observed in {self.drift} runs, so nothing is proved"
        passed = reason is None and self.gate.holds(self.measured())
        return GateResult(self.gate.text, passed, reason)

    def measured(self) -> dict[str, Any]:
        """Return the values of what a gate may name."""
        return {
            **self._measured(lambda run: run.first, candidate=True),
            BASELINE: self._measured(lambda run: run.baseline, candidate=False),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        gate = self.gate_result()
        return {
            "agent": self.agent,
            "candidate": list(self.candidate),
            "policies": dict(self.policies),
            "runs": len(self.runs),
            "lanes": self.lanes(),
            "drift": self.drift,
            "differences": [one.model_dump() for run in self.runs for one in run.differences],
            "baseline_differences": [one.model_dump() for run in self.runs for one in run.baseline_differences],
            "scores": {name: asdict(one) for name, one in self.scores().items()},
            "cohorts": self.cohorts(),
            "examples": [
                {"run_id": run.run_id, "misses": run.first.misses, "diff": run.diff} for run in self.examples()
            ],
            "left_out": dict(self.left_out),
            "estimate": None if self.estimate is None else self.estimate.to_json(),
            "spent_usd": round(self.spent_usd, 6),
            "seconds": round(self.seconds, 3),
            "runs_per_second": round(len(self.runs) / self.seconds, 1) if self.seconds else None,
            "stopped": self.stopped,
            "gate": None if gate is None else asdict(gate),
        }

    def _lane(self, lane: Callable[[RunComparison], LaneOutcome]) -> dict[str, Any]:
        outcomes = [lane(run) for run in self.runs]
        return {
            **_kinds(self.runs, lane),
            "recorded": sum(one.recorded for one in outcomes),
            "made": sum(one.made for one in outcomes),
            **_costs(outcomes),
        }

    def _measured(self, lane: Callable[[RunComparison], LaneOutcome], *, candidate: bool) -> dict[str, Any]:
        count = len(self.runs)
        kinds = _kinds(self.runs, lane)
        found: dict[str, Any] = {name: kinds[name] / count if count else None for name in _SHARES}
        costs = _costs([lane(run) for run in self.runs])
        found |= {"cost": costs["cost_usd"], "seconds": costs["seconds"], "runs": count, "drift": self.drift}
        place = 1 if candidate else 0
        pairs = {name: _score_pairs(self.runs, name) for name in self.score_names}
        pairs |= {name: [self._pass_pair(run, k) for run in self.runs] for name, k in _pass_names(self.tries).items()}
        return found | {name: fsum(one[place] for one in each) / len(each) for name, each in pairs.items() if each}

    def _pass_pair(self, run: RunComparison, k: int) -> tuple[float, float]:
        passed = sum(self._passes(one) for one in run.candidate)
        return float(self._passes(run.baseline)), pass_at(len(run.candidate), passed, k)

    def _passes(self, lane: LaneOutcome) -> bool:
        """Return whether a try passes: all of its scores are 1; without scores, its result is the observed one."""
        values = [lane.scores.get(name) for name in self.score_names]
        return all(value is not None and value >= SAME for value in values) if values else lane.same_result


def _kinds(runs: Sequence[RunComparison], lane: Callable[[RunComparison], LaneOutcome]) -> dict[str, int]:
    """Return how many runs are equal, different or failed; and, of these, unanswered ones and those of equal result."""
    kinds = Counter(kind_of(lane(run), run.observed) for run in runs)
    return {
        "equal": kinds["equal"],
        "different": kinds["different"],
        "failed": kinds["failed"],
        "same_result": sum(lane(run).same_result for run in runs),
        "unanswered": sum(lane(run).status == "unanswered" for run in runs),
    }


def _costs(outcomes: Sequence[LaneOutcome]) -> dict[str, Any]:
    return {
        "cost_usd": round(fsum(one.cost_usd for one in outcomes), 9),
        "seconds": round(fsum(one.seconds for one in outcomes), 3),
        "input_tokens": sum(one.input_tokens for one in outcomes),
        "output_tokens": sum(one.output_tokens for one in outcomes),
        "unpriced": sum(one.unpriced for one in outcomes),
    }


def _score_pairs(runs: Sequence[RunComparison], name: str) -> list[tuple[float, float]]:
    pairs = []
    for run in runs:
        before, after = run.baseline.scores.get(name), run.first.scores.get(name)
        if before is not None and after is not None:
            pairs.append((before, after))
    return pairs


def _pass_names(tries: int) -> dict[str, int]:
    return {f"pass_at_{k}": k for k in dict.fromkeys((1, tries))} if tries > 1 else {}
