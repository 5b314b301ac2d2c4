"""Gates and choices of runs are expressions over names, and nothing else."""

from __future__ import annotations

import pytest

from streams.backtest.errors import ExpressionError
from streams.backtest.expression import Expression

MEASURES = ("equal", "cost", "verdict_word")
VALUES = {
    "equal": 0.99,
    "cost": 1.05,
    "verdict_word": 0.5,
    "baseline": {"equal": 1.0, "cost": 1.0, "verdict_word": 0.4},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("equal>=0.98 and cost<=1.1*baseline", True),
        ("equal >= 0.98 and cost <= baseline", False),
        ("equal>=baseline", False),
        ("cost - baseline.cost < 0.1", True),
        ("not equal < 0.5 or cost > 2", True),
        ("0.9 <= equal <= 1", True),
        ("verdict_word > baseline + 0.05", True),
        ("-cost < 0 and cost / 2 < 1", True),
    ],
)
def test_a_gate_compares_measures_with_the_baseline(text: str, *, holds: bool) -> None:
    assert Expression.parse_gate(text, MEASURES).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("equl>=0.98", "there is no 'equl': there are baseline, cost, equal, verdict_word"),
        ("equal>=", "is no expression"),
        ("baseline > 1", "compare `baseline` with one measure"),
        ("equal*cost < baseline", "compare `baseline` with one measure"),
        ("cost < baseline.costs", "there is no measure 'costs'"),
        ("equal.real > 1", "equal.real is no measure"),
        ("__import__('os')", "is not possible"),
        ("(lambda: 1)() > 0", "is not possible"),
        ("cost ** 9 > 1", "Pow is not possible"),
        ("equal is 1", "Is is not possible"),
        ("[c for c in 'ab']", "is not possible"),
        ("(" * 300 + "1" + ")" * 300, "at most 500"),
        ("", "is no expression"),
    ],
)
def test_what_is_no_gate_is_refused_and_says_why(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse_gate(text, MEASURES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status == 'failed' and cost_usd > 0.01", True),
        ("input.repository == 'octo/shop'", True),
        ("input['labels'][0] in ('bug', 'crash')", True),
        ("'crash' not in input.labels", True),
        ("input.missing.deeper == 1", False),
        ("input.missing > 3", False),
    ],
)
def test_runs_are_chosen_by_their_fields(text: str, *, holds: bool) -> None:
    run = {"status": "failed", "cost_usd": 0.5, "input": {"repository": "octo/shop", "labels": ["bug"]}}
    assert Expression.parse(text, run).holds(run) is holds


def test_arithmetic_is_on_numbers_only() -> None:
    with pytest.raises(ExpressionError, match="status is no number but 'failed'"):
        Expression.parse("status * 2 > 1", ["status"]).holds({"status": "failed"})
    with pytest.raises(ExpressionError, match="nothing is divided by 0"):
        Expression.parse("1 / n > 1", ["n"]).holds({"n": 0})
