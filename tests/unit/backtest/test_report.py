"""A backtest scores, counts, keeps and shows its runs; its gate holds only for all of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from streams.backtest.backtest import Backtest
from streams.backtest.errors import BacktestError
from streams.backtest.expression import Expression
from streams.backtest.html_report import html_report
from streams.backtest.lanes import CandidateLane, Lanes, RecordedRuns
from streams.backtest.policies import BudgetMeter, Policies
from streams.backtest.report import BacktestReport, measures
from streams.backtest.results import LaneOutcome, RunComparison
from streams.backtest.scorer import Scorer
from streams.backtest.scores import load_scorers
from streams.backtest.selection import RunSelection
from streams.backtest.state_file import StateFile
from streams.replay.run_observations import Observed
from tests.unit.backtest.changes import asker, compare, recorded
from tests.unit.replay import made

COUNT = 10


@pytest.fixture(scope="module")
def known() -> RecordedRuns:
    return recorded(COUNT)[0]


def is_changed(text: str) -> bool:
    return text in ("q2", "q5")


def report_of(runs: list[RunComparison], gate: str | None = None, **more: Any) -> BacktestReport:
    parsed = None if gate is None else Expression.parse_gate(gate, measures((), more.get("tries", 1)))
    given: dict[str, Any] = {"tries": 1, "score_names": (), "gate": parsed, **more}
    return BacktestReport("asker", ("new.py",), {"models": "recorded", "tools": "recorded"}, runs=runs, **given)


def test_lanes_scores_and_gate(known: RecordedRuns) -> None:
    runs = compare(known, asker(branch=is_changed, order="ab"), count=COUNT)
    found = report_of(runs, "equal>=0.98").to_json()
    assert found["runs"] == COUNT
    assert {name: found["lanes"]["baseline"][name] for name in ("equal", "different", "failed")} == {
        "equal": COUNT, "different": 0, "failed": 0,
    }  # fmt: skip
    assert {name: found["lanes"]["candidate"][name] for name in ("equal", "different", "failed")} == {
        "equal": COUNT - 2, "different": 2, "failed": 0,
    }  # fmt: skip
    assert {one["run_id"] for one in found["differences"]} == {"run-2", "run-5"}
    assert found["scores"]["equal"]["difference"] == pytest.approx(-0.2)
    assert found["scores"]["equal"]["low"] < -0.2 < found["scores"]["equal"]["high"]
    assert found["gate"] == {"expression": "equal>=0.98", "passed": False, "reason": None}
    assert [one["run_id"] for one in found["examples"]] == ["run-2", "run-5"]
    assert [(one["status"], one["runs"], one["equal"]) for one in found["cohorts"]] == [("succeeded", 10, 8)]


def test_a_gate_that_holds(known: RecordedRuns) -> None:
    report = report_of(compare(known, count=4), "equal>=0.98 and cost<=1.1*baseline and drift==0")
    result = report.gate_result()
    assert result is not None
    assert result.passed


def test_a_gate_fails_for_a_part_of_the_runs_and_for_none(known: RecordedRuns) -> None:
    for report in (
        report_of(compare(known, count=2), "equal>=0", stopped="it was interrupted"),
        report_of([], "runs>=0"),
    ):
        result = report.gate_result()
        assert result is not None
        assert not result.passed
        assert result.reason


def test_a_baseline_that_drifts_proves_nothing(known: RecordedRuns) -> None:
    runs = [
        one.model_copy(update={"baseline": one.baseline.model_copy(update={"equal": False})})
        for one in compare(known, count=2)
    ]
    result = report_of(runs, "equal>=0").gate_result()
    assert result is not None
    assert not result.passed
    assert "in 2 runs" in str(result.reason)
    about_it = report_of(runs, "drift<=2").gate_result()
    assert about_it is not None
    assert about_it.passed


def test_pass_at_k_over_several_tries() -> None:
    good, bad = LaneOutcome(status="succeeded"), LaneOutcome(status="failed", equal=False, same_result=False)
    run = RunComparison(run_id="r", agent="a", observed=good, baseline=good, candidate=[bad, good, bad, bad])
    report = report_of([run], "pass_at_1 >= 0.25 and pass_at_4 == 1", tries=4)
    result = report.gate_result()
    assert result is not None
    assert result.passed


def test_the_html_is_one_file_without_scripts_and_escaped(known: RecordedRuns) -> None:
    runs = compare(known, asker(branch=is_changed, order="ab"), count=COUNT)
    evil = "<script>alert('x')</script>\x00\u202e"
    runs[2] = runs[2].model_copy(update={"diff": [f"+ {evil}", "- <b>"], "run_id": evil})
    text = html_report(report_of(runs, "equal>=0.98", stopped=evil))
    assert "<script" not in text
    assert "&lt;script&gt;alert" in text
    assert "\x00" not in text
    assert "\u202e" not in text
    assert re.search(r"(?:src|href)=", text) is None
    assert "url(" not in text
    assert "@import" not in text
    assert re.search(r"\sstyle=|\son\w+=", text) is None
    assert "default-src 'none'; style-src 'sha256-" in text.replace("&#x27;", "'")
    assert text.count("<details>") == 2


def backtest(
    known: RecordedRuns,
    *,
    state: StateFile | None = None,
    scorers: list[Scorer] | None = None,
    policies: Policies | None = None,
    meter: BudgetMeter | None = None,
    candidate: Any = None,
) -> Backtest:
    agents = made.AGENTS if candidate is None else {**made.AGENTS, "asker": candidate}
    chosen, money = policies or Policies(), meter or BudgetMeter()
    lanes = Lanes(known, made.AGENTS, CandidateLane(agents, chosen, made.model), money)
    return Backtest(lanes, chosen, money, scorers or [], state)


def no_judge(_name: str, _path: Path) -> Any:
    raise AssertionError


def test_scores_are_given_to_both_lanes(known: RecordedRuns) -> None:
    scorers = load_scorers(["tests.unit.backtest.rules:length", "tests.unit.backtest.rules:is_long"], no_judge)
    runs = asyncio.run(backtest(known, scorers=scorers).run(made.submissions(2)))
    assert runs[0].baseline.scores == runs[0].first.scores == {"length": 7.0, "is_long": 1.0}
    report = report_of(runs, score_names=("length", "is_long"))
    assert report.scores()["length"].difference == 0.0


def test_a_backtest_that_was_stopped_goes_on(known: RecordedRuns, tmp_path: Path) -> None:
    subject = {"agent": "asker", "models": "hybrid"}
    path = tmp_path / "state.jsonl"
    candidate = asker(branch=is_changed, prompt="Other.")
    hybrid = Policies(models="hybrid")
    first = backtest(
        known, state=StateFile(path, subject), policies=hybrid, meter=BudgetMeter(limit=0.0), candidate=candidate
    )
    assert asyncio.run(first.run(made.submissions(COUNT))) == []
    assert first.stopped == "the budget of $0 is spent"
    second = backtest(known, state=StateFile(path, subject), policies=hybrid, candidate=candidate)
    half = asyncio.run(second.run(made.submissions(5)[:3]))
    assert (len(half), second.stopped, path.exists()) == (3, None, False)


def test_the_state_is_read_again_and_of_one_backtest_only(known: RecordedRuns, tmp_path: Path) -> None:
    path, runs = tmp_path / "state.jsonl", compare(known, count=2)
    state = StateFile(path, {"agent": "asker"})
    for run in runs:
        state.add(run, 0.5)
    again = StateFile(path, {"agent": "asker"})
    assert (list(again.done.values()), again.spent) == (runs, 0.5)
    with path.open("a") as file:
        file.write('{"run": {"run_')  # a kill
    cut = StateFile(path, {"agent": "asker"})
    assert list(cut.done) == ["run-0", "run-1"]
    third = backtest(known, state=cut)
    assert [one.run_id for one in asyncio.run(third.run(made.submissions(3)))] == ["run-0", "run-1", "run-2"]
    state = StateFile(path, {"agent": "asker"})
    state.add(runs[0], 0.0)
    with pytest.raises(BacktestError, match="is the state of another backtest"):
        StateFile(path, {"agent": "summer"})


def test_stop_ends_it_after_what_was_begun(known: RecordedRuns) -> None:
    one = backtest(known)
    one.stop()
    assert asyncio.run(one.run(made.submissions(3))) == []
    assert one.stopped == "it was interrupted"


def test_runs_are_chosen_by_id_expression_and_sample(known: RecordedRuns) -> None:
    given = made.submissions(COUNT)

    def ids(selection: RunSelection) -> list[str]:
        return [one.event.run_id for one in selection.choose(given, known.runs)[0]]

    assert ids(RunSelection()) == [f"run-{number}" for number in range(COUNT)]
    assert ids(RunSelection(frozenset({"run-3"}))) == ["run-3"]
    where = Expression.parse("input in ('q1', 'q2') and status == 'succeeded'", ("input", "status"))
    assert ids(RunSelection(where=where)) == ["run-1", "run-2"]
    drawn = ids(RunSelection(sample=4, seed=7))
    assert len(drawn) == 4
    assert drawn == ids(RunSelection(sample=4, seed=7)) != ids(RunSelection(sample=4, seed=8))
    under_way = {**known.runs, "run-1": Observed(known.runs["run-1"].entries[:4])}
    assert RunSelection().choose(given, under_way)[1] == {"still under way": 1}
