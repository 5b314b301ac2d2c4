"""Each planted change is found in exactly the runs that have it, and none in the others."""

from __future__ import annotations

from typing import Any

import pytest

from streams.backtest.answers import CallRecordings
from streams.backtest.lanes import RecordedRuns
from streams.backtest.policies import BudgetMeter, Policies
from streams.model.scripted_model import ScriptedModel
from tests.unit.backtest.changes import Recorded, asker, compare, recorded
from tests.unit.replay import made

COUNT = 12
CHANGED = {"run-3", "run-7"}


def is_changed(text: str) -> bool:
    return f"run-{text.removeprefix('q')}" in CHANGED


@pytest.fixture(scope="module")
def log() -> Recorded:
    return recorded(COUNT)


def test_the_code_that_made_the_runs_changes_nothing(log: Recorded) -> None:
    found = compare(log[0], count=COUNT)
    assert len(found) == COUNT
    assert all(one.baseline.equal and one.first.equal and one.first.same_result for one in found)
    assert [one.differences + one.baseline_differences for one in found] == [[]] * COUNT
    assert {one.first.made for one in found} == {0}
    assert [one.first.recorded for one in found] == [one.baseline.recorded for one in found]
    assert made.calls == []


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"prompt": "Judge harder."}, {"4"}),
        ({"order": "bax"}, {"1.0.1"}),
        ({"order": "ab"}, {"1.2.1"}),
    ],
    ids=["prompt", "tool order", "code branch"],
)
def test_a_planted_change_is_found_exactly(log: Recorded, change: dict[str, str], paths: set[str]) -> None:
    found = compare(log[0], asker(branch=is_changed, **change), count=COUNT)
    assert {one.run_id for one in found if not one.first.equal} == CHANGED
    assert {one.run_id for one in found if one.differences} == CHANGED
    assert {one.differences[0].path for one in found if one.differences} == paths
    assert all(one.baseline.equal for one in found)


def test_another_answer_of_the_model_is_found(log: Recorded) -> None:
    known, calls = log
    answered = [
        {**call, "answer": {**call["answer"], "text": "other"}} if _is_planted(call) else call for call in calls
    ]
    found = compare(RecordedRuns(known.runs, CallRecordings(answered)), count=COUNT)
    assert {one.run_id for one in found if not one.baseline.equal} == {"run-3"}
    assert {one.run_id: one.differences[0].path for one in found if one.differences} == {"run-3": "5"}


def _is_planted(call: dict[str, Any]) -> bool:
    return bool(call["run_id"] == "run-3" and call["path"] == "5")


def test_a_change_shows_both_timelines(log: Recorded) -> None:
    [one] = [one for one in compare(log[0], asker(branch=is_changed, order="ab"), count=4) if one.differences]
    assert one.differences[0].candidate is None
    assert one.differences[0].observed["arguments"] == {"term": "q3x"}
    removed = [line for line in one.diff if line.startswith("-")]
    assert any('1.2.1 tool look_up({"term": "q3x"})' in line for line in removed)


def test_a_miss_says_what_was_asked(log: Recorded) -> None:
    [one] = [one for one in compare(log[0], asker(branch=is_changed, prompt="Other."), count=4) if one.differences]
    assert one.first.status == "unanswered"
    assert one.first.misses == ["llm Verdict (path 4 of run run-3): the log has no answer to it as it is asked now"]


def test_hybrid_asks_the_model_for_what_the_log_lacks_and_counts_its_cost(log: Recorded) -> None:
    outside = made.model()
    meter = BudgetMeter()
    candidate = asker(branch=is_changed, prompt="Other.")
    found = compare(
        log[0], candidate, count=COUNT, policies=Policies(models="hybrid"), model=lambda: outside, meter=meter
    )
    assert {one.run_id for one in found if not one.first.equal} == CHANGED
    assert {one.first.status for one in found} == {"succeeded"}
    assert {one.run_id for one in found if one.first.made} == CHANGED
    assert meter.calls == len(outside.requests) == sum(one.first.made for one in found)
    assert made.calls == []


def test_hybrid_refuses_a_tool_that_may_have_effects(log: Recorded) -> None:
    candidate = asker(branch=is_changed, order="abcx")
    found = compare(log[0], candidate, count=COUNT, policies=Policies(tools="hybrid"))
    misses = [miss for one in found for miss in one.first.misses]
    assert len(misses) == len(CHANGED)
    assert "--allow look_up" in misses[0]
    assert made.calls == []


def test_hybrid_calls_a_tool_that_is_named(log: Recorded) -> None:
    candidate = asker(branch=is_changed, order="abcx")
    policies = Policies(models="hybrid", tools="hybrid", allowed=frozenset({"look_up"}))
    compare(log[0], candidate, count=COUNT, policies=policies, model=made.model)
    assert sorted(made.calls) == ["q3c", "q7c"]
    made.calls.clear()


def test_a_stub_answers_in_the_place_of_a_tool(log: Recorded) -> None:
    candidate = asker(branch=is_changed, order="abcx")
    policies = Policies(models="hybrid", tools="stub", stubs={"look_up": "stubbed"})
    found = compare(log[0], candidate, count=COUNT, policies=policies, model=made.model)
    assert {one.run_id for one in found if "stubbed" in (one.first.result or [])} == CHANGED
    assert made.calls == []


def test_another_model_does_not_get_the_answers_of_the_first(log: Recorded) -> None:
    outside = ScriptedModel(always=lambda request: {"word": "new"} if request.returns is not None else "new text")
    policies = Policies(models="hybrid", other_models=frozenset({"default"}))
    found = compare(log[0], count=2, policies=policies, model=lambda: outside)
    assert [one.first.made for one in found] == [3, 3]
    assert [one.first.equal for one in found] == [False, False]
    assert [one.baseline.equal for one in found] == [True, True]


def test_a_model_whose_calls_are_gone_is_answered_from_the_journal(log: Recorded) -> None:
    known = RecordedRuns(log[0].runs, CallRecordings())
    assert [one.baseline.equal for one in compare(known, count=2)] == [True, True]


def test_the_budget_ends_a_run_before_it_is_overspent(log: Recorded) -> None:
    meter = BudgetMeter(limit=0.0)
    candidate = asker(branch=is_changed, prompt="Other.")
    found = compare(log[0], candidate, count=COUNT, policies=Policies(models="hybrid"), model=made.model, meter=meter)
    assert {one.run_id for one in found} == {f"run-{number}" for number in range(COUNT)} - CHANGED
    assert meter.calls == 0


def test_tries_are_apart(log: Recorded) -> None:
    outside = made.model()
    policies = Policies(models="live")
    [one] = compare(log[0], count=1, policies=policies, model=lambda: outside, tries=3)
    assert len(one.candidate) == 3
    assert len({str(lane.result) for lane in one.candidate}) == 3


def test_costs_are_those_of_the_calls_when_they_were_made(log: Recorded) -> None:
    [one] = compare(log[0], count=1)
    assert one.observed.input_tokens == one.baseline.input_tokens == one.first.input_tokens == 3
