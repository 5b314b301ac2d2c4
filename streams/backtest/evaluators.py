"""Evaluators of pydantic-evals as scorers, for those who have some; the package is theirs, not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streams.backtest.errors import BacktestError
from streams.backtest.scorer import identifier, number

if TYPE_CHECKING:
    from streams.backtest.scorer import ScoredRun


class EvaluatorScorer:
    """One evaluator; where it returns several results, the score is the mean of the numbers among them."""

    def __init__(self, name: str, evaluator: Any) -> None:
        self._name = identifier(name)
        self._evaluator = evaluator

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its score: that under which the evaluator was found."""
        return (self._name,)

    async def score(self, run: ScoredRun) -> Mapping[str, float | None]:
        """Return what the evaluator returns; raise BacktestError for what it raises."""
        from pydantic_evals.evaluators import EvaluatorContext  # noqa: PLC0415 - for those who have the package
        from pydantic_evals.otel import SpanTree  # noqa: PLC0415

        context = EvaluatorContext(
            name=run.run_id,
            inputs=run.input,
            metadata={"status": run.status, "error": run.error},
            expected_output=run.expected,
            output=run.output,
            duration=run.seconds,
            _span_tree=SpanTree(),
            attributes={},
            metrics={"cost": run.cost_usd},
        )
        try:
            found = await self._evaluator.evaluate_async(context)
        except Exception as error:  # users' code may raise anything
            message = f"score {self._name} failed for run {run.run_id}: {type(error).__name__}: {error}"
            raise BacktestError(message) from error
        if not isinstance(found, Mapping):
            return {self._name: self._number(found, run)}
        numbers = [one for value in found.values() if (one := self._number(value, run)) is not None]
        return {self._name: sum(numbers) / len(numbers) if numbers else None}

    def _number(self, found: Any, run: ScoredRun) -> float | None:
        """Return a result as a number: it may have a reason beside it; a label is none."""
        value = getattr(found, "value", found)
        return None if isinstance(value, str) else number(value, self._name, run.run_id)
