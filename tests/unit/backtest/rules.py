"""Scorers as users write them, and another version of the agent of `tests.unit.replay.made`."""

from __future__ import annotations

from typing import Any

from pydantic_evals.evaluators import EqualsExpected, Evaluator, EvaluatorContext

from streams import Run, agent
from streams.backtest.scorer import ScoredRun

JUDGE = "Judge."


@agent
async def asker(text: str, run: Run) -> str:
    return await run.llm(JUDGE, text)


@agent
async def second(text: str) -> str:
    return f"second {text}"


def is_long(run: ScoredRun) -> bool:
    return len(run.output or []) > 3


async def length(run: ScoredRun) -> float:
    return float(len(run.output or []))


def same(expected: Any, output: Any) -> bool:
    return bool(expected == output)


def confusing(one: Any, other: Any) -> float:
    return 1.0


def word(run: ScoredRun) -> Any:
    return "good"


def broken(run: ScoredRun) -> float:
    raise ValueError(run.run_id)


class HasResult(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return ctx.output is not None


equals_expected = EqualsExpected()
