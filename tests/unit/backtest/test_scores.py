"""Scores come from fields, users' functions, evaluators of pydantic-evals and a judge; statistics are paired."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.backtest.errors import BacktestError
from streams.backtest.judge import Judge, JudgementFile
from streams.backtest.policies import BudgetMeter
from streams.backtest.scorer import ScoredRun
from streams.backtest.scores import load_scorers
from streams.backtest.statistics import paired, pass_at
from streams.model.scripted_model import ScriptedModel

RULES = "tests.unit.backtest.rules"


def run(output: Any = None, expected: Any = None, status: str = "succeeded") -> ScoredRun:
    return ScoredRun("run-0", "q", expected, output, status, None, 0.5, 0.01)


def no_judge(_name: str, _path: Path) -> Judge:
    raise AssertionError


def scores(spec: str, given: ScoredRun) -> dict[str, float | None]:
    [scorer] = load_scorers([spec], no_judge)
    found = dict(asyncio.run(scorer.score(given)))
    assert tuple(found) == scorer.names
    return found


@pytest.mark.parametrize(
    ("spec", "given", "found"),
    [
        ("field:area", run({"area": "bug"}, {"area": "bug", "other": 1}), {"area": 1.0}),
        ("field:a.0.b", run({"a": [{"b": 1}]}, {"a": [{"b": 2}]}), {"a_0_b": 0.0}),
        ("field:area", run(None, {"area": "bug"}, "failed"), {"area": 0.0}),
        (f"{RULES}:is_long", run([1, 2, 3, 4]), {"is_long": 1.0}),
        (f"{RULES}:length", run([1, 2]), {"length": 2.0}),
        (f"{RULES}:same", run("a", "b"), {"same": 0.0}),
        (f"{RULES}:HasResult", run([1]), {"HasResult": 1.0}),
        (f"{RULES}:equals_expected", run("a", "b"), {"equals_expected": 0.0}),
    ],
)
def test_a_score_is_a_number(spec: str, given: ScoredRun, found: dict[str, float]) -> None:
    assert scores(spec, given) == found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (f"{RULES}:word", "gave 'good' for run run-0: return a number"),
        (f"{RULES}:broken", "failed for run run-0: ValueError"),
        (f"{RULES}:confusing", "takes the run, or any of run_id, input, expected"),
        (f"{RULES}:absent", "has no function 'absent'"),
        ("nowhere.at.all:fn", "cannot be imported"),
        ("fn", "is none of MODULE:FUNCTION"),
        ("judge:nowhere.md", "there is no file"),
    ],
)
def test_what_is_no_score_says_why(spec: str, message: str) -> None:
    with pytest.raises(BacktestError) as caught:
        scores(spec, run([1]))
    assert message in str(caught.value)


def test_two_scores_of_a_name_are_refused() -> None:
    with pytest.raises(BacktestError, match="two scores are called area"):
        load_scorers(["field:area", "field:area"], no_judge)


def test_a_judge_is_asked_once_for_a_question(tmp_path: Path) -> None:
    rubric = tmp_path / "polite.md"
    rubric.write_text("The answer is polite.")
    model = ScriptedModel(always=lambda _request: {"reason": "it says please", "score": 0.75})
    for _ in range(2):
        judge = Judge("polite", rubric, lambda: model, JudgementFile(tmp_path / "judgements.jsonl"), BudgetMeter())
        assert [asyncio.run(judge.score(run("please", "no")))["polite"] for _ in range(2)] == [0.75, 0.75]
    assert len(model.requests) == 1
    assert "The answer is polite." in model.requests[0].messages[0].content
    assert asyncio.run(judge.score(run(None, "no", "failed")))["polite"] == 0.0


def test_a_judge_does_not_overspend(tmp_path: Path) -> None:
    rubric = tmp_path / "polite.md"
    rubric.write_text("Polite.")
    model = ScriptedModel(always=lambda _request: {"reason": "", "score": 1})
    judge = Judge("polite", rubric, lambda: model, JudgementFile(tmp_path / "j.jsonl"), BudgetMeter(limit=0.0))
    assert asyncio.run(judge.score(run("x")))["polite"] is None
    assert model.requests == []


def test_shares_have_an_interval_also_where_nothing_changed() -> None:
    found = paired([(1.0, 1.0)] * 100)
    assert found is not None
    assert (found.baseline, found.candidate, found.difference) == (1.0, 1.0, 0.0)
    assert found.low is not None
    assert found.high is not None
    assert -0.03 < found.low < 0 < found.high < 0.03


def test_a_worse_share_has_an_interval_below_zero() -> None:
    found = paired([(1.0, 1.0)] * 80 + [(1.0, 0.0)] * 20)
    assert found is not None
    assert found.high is not None
    assert found.low is not None
    assert found.low < -0.2 < found.high < 0


def test_costs_have_a_bootstrap_interval_that_is_the_same_each_time() -> None:
    pairs = [(float(number % 7), float(number % 7) + (number % 3)) for number in range(60)]
    found = paired(pairs)
    assert found == paired(pairs)
    assert found is not None
    assert found.difference == pytest.approx(1.0)
    assert found.low is not None
    assert found.high is not None
    assert 0.7 < found.low < 1.0 < found.high < 1.3


def test_one_run_has_no_interval_and_none_has_no_statistics() -> None:
    one = paired([(1.0, 0.0)])
    assert one is not None
    assert (one.low, one.high) == (None, None)
    assert paired([]) is None


def test_pass_at_k_is_the_chance_that_one_of_k_passes() -> None:
    assert pass_at(4, 1, 1) == pytest.approx(0.25)
    assert pass_at(4, 2, 2) == pytest.approx(1 - 1 / 6)
    assert (pass_at(4, 0, 4), pass_at(4, 1, 4)) == (0.0, 1.0)
