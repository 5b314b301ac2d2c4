"""What `streams backtest` does between its options and its report: reads the log, chooses runs, runs them, prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams.backtest.answers import CallRecordings
from streams.backtest.backtest import Backtest, BacktestEstimate, estimate
from streams.backtest.candidate import Candidate, load_candidate
from streams.backtest.errors import BacktestError
from streams.backtest.expression import Expression
from streams.backtest.judge import Judge, JudgementFile
from streams.backtest.lanes import CandidateLane, Lanes, RecordedRuns
from streams.backtest.policies import BudgetMeter, Policies
from streams.backtest.report import BacktestReport, measures
from streams.backtest.scores import load_scorers
from streams.backtest.selection import RunSelection, submissions_of
from streams.backtest.state_file import StateFile, file_digest
from streams.backtest.statistics import has_scipy
from streams.cli.io.options import OutputFormat
from streams.model.lazy_model import LazyModel
from streams.replay.log import ReplayLog

if TYPE_CHECKING:
    from rich.console import Console

    from streams.cli.log import DeploymentLog
    from streams.replay.runs import Submission
    from topics.reader import Position

_SHOWN: Final = 5  # examples that are printed; all of them in the HTML report and with -o json
_FOLDER: Final = "backtests"

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What the command was asked for."""

    agent: str
    candidate: tuple[str, ...]
    start: Position
    end: Position
    selection: RunSelection = field(default_factory=RunSelection)
    policies: Policies = field(default_factory=Policies)
    scores: tuple[str, ...] = ()
    tries: int = 1
    budget: float | None = None
    gate: str | None = None
    state: Path | None = None


@dataclass(frozen=True, slots=True)
class PreparedBacktest:
    """A backtest whose runs are chosen and whose candidate is loaded."""

    options: BacktestOptions
    candidate: Candidate
    submissions: Sequence[Submission]
    left_out: dict[str, int]
    estimate: BacktestEstimate
    score_names: tuple[str, ...]
    gate: Expression | None
    state: StateFile
    backtest: Backtest
    meter: BudgetMeter
    models: tuple[LazyModel, ...]

    async def run(self) -> BacktestReport:
        """Run it, and return what it found out; may be called once."""
        try:
            runs = await self.backtest.run(self.submissions)
        finally:
            for model in self.models:
                await model.aclose()
        return BacktestReport(
            agent=self.options.agent,
            candidate=self.candidate.specs,
            policies={"models": self.options.policies.models, "tools": self.options.policies.tools},
            tries=self.options.tries,
            score_names=self.score_names,
            runs=runs,
            left_out=self.left_out,
            estimate=self.estimate,
            spent_usd=self.meter.spent,
            seconds=self.backtest.seconds,
            stopped=self.backtest.stopped,
            gate=self.gate,
        )


def prepare(here: DeploymentLog, options: BacktestOptions, progress: Progress) -> PreparedBacktest:
    """Read the log and get everything ready; blocking. Raises BacktestError and others for what cannot begin."""
    here.catalog.agent(options.agent)
    candidate = load_candidate(options.candidate, options.agent, here.catalog.agents, here.settings)
    policies = _policies(options.policies, candidate)
    meter = BudgetMeter(options.budget)
    model = LazyModel(candidate.settings)
    folder = here.settings.state_dir / _FOLDER
    judge_model = LazyModel(here.settings)  # the candidate does not judge itself
    judgements = folder / "judgements.jsonl"
    scorers = load_scorers(
        options.scores, lambda name, rubric: Judge(name, rubric, judge_model, JudgementFile(judgements), meter)
    )
    names = tuple(name for scorer in scorers for name in scorer.names)
    gate = None if options.gate is None else Expression.parse_gate(options.gate, measures(names, options.tries))
    submissions, known, left_out = _recorded(here, options, progress)
    state = _state(options, candidate, folder)
    meter.spent = state.spent
    lane = CandidateLane(candidate.agents, policies, model, options.tries)
    lanes = Lanes(known, here.catalog.agents, lane, meter)
    observed = [lanes.observed(one.event.run_id).outcome for one in submissions]
    return PreparedBacktest(
        options=options,
        candidate=candidate,
        submissions=submissions,
        left_out=left_out,
        estimate=estimate(observed, policies, options.tries),
        score_names=names,
        gate=gate,
        state=state,
        backtest=Backtest(lanes, policies, meter, scorers, state, progress),
        meter=meter,
        models=(model, judge_model),
    )


def print_report(screen: Console, report: BacktestReport) -> None:
    """Print lanes, scores, the runs that differ most, and the gate."""
    from rich.markup import escape

    from streams.cli.io.output import print_rows

    lanes = report.lanes()
    rows = [{"lane": name, **values} for name, values in lanes.items()]
    columns = ("lane", "equal", "different", "failed", "same_result", "unanswered", "made", "cost_usd", "seconds")
    print_rows([{name: row.get(name) for name in columns} for row in rows], columns, OutputFormat.TEXT, empty="")
    scores = [
        {
            "score": name,
            **{part: _rounded(getattr(one, part)) for part in ("baseline", "candidate", "difference")},
            "95 %": "-" if one.low is None or one.high is None else f"{one.low:.4g} … {one.high:.4g}",
        }
        for name, one in report.scores().items()
    ]
    if scores:
        print_rows(scores, scores[0].keys(), OutputFormat.TEXT, empty="")
    for run in report.examples()[:_SHOWN]:
        screen.print(f"[bold]{escape(run.run_id)}[/]: {run.observed.status}, candidate {run.first.status}")
        for line in [*(f"  {miss}" for miss in run.first.misses), *run.diff[:12]]:
            colour = {"-": "red", "+": "green"}.get(line.lstrip()[:1], "dim")
            screen.print(f"  [{colour}]{escape(line)}[/]", soft_wrap=True)
    _print_notes(screen, report)


def _print_notes(screen: Console, report: BacktestReport) -> None:
    from rich.markup import escape

    rate = f", {len(report.runs) / report.seconds:.1f} a second" if report.seconds else ""
    screen.print(f"{len(report.runs)} runs in {report.seconds:.1f} s{rate}; ${report.spent_usd:.4f} spent")
    for reason, count in report.left_out.items():
        screen.print(f"{count} runs left out: {reason}")
    unanswered = report.lanes()["candidate"]["unanswered"]
    if unanswered:
        screen.print(f"{unanswered} runs have calls without a recorded answer: see --models, --tools and --allow")
    if report.drift:
        screen.print(f"[red]The baseline differs from what was observed in {report.drift} runs.[/]")
    if not has_scipy():
        screen.print("Without confidence intervals: install streams with the extra `backtest` for them.")
    if report.stopped is not None:
        screen.print(f"[yellow]Stopped: {escape(report.stopped)}.[/] The same command goes on.")
    gate = report.gate_result()
    if gate is not None:
        word = "[green]passed[/]" if gate.passed else "[red]failed[/]"
        reason = f": {gate.reason}" if gate.reason else ""
        screen.print(f"gate {word}: {escape(gate.expression)}{escape(reason)}")


def _policies(wanted: Policies, candidate: Candidate) -> Policies:
    if candidate.other_models and wanted.models == "recorded":
        raise BacktestError(
            f"the candidate asks another model ({', '.join(sorted(candidate.other_models))}), whose answers are not "
            "on the log: give --models hybrid"
        )
    return Policies(wanted.models, wanted.tools, wanted.allowed, wanted.stubs, candidate.other_models)


def _recorded(
    here: DeploymentLog, options: BacktestOptions, progress: Progress
) -> tuple[list[Submission], RecordedRuns, dict[str, int]]:
    """Return the chosen submissions, what the log holds for them, and how many were left out by reason."""
    log = ReplayLog(here.kafka, here.codec, here.names, here.catalog)
    progress("reading submissions", 0, None)
    submissions = submissions_of(log, options.agent, options.start, options.end)
    named = options.selection.runs
    missing = set() if named is None else set(named) - {one.event.run_id for one in submissions}
    if missing:
        raise BacktestError(
            f"--runs: {', '.join(sorted(missing)[:5])} is no run of agent {options.agent} between --from and --to"
        )
    if named is not None:
        submissions = [one for one in submissions if one.event.run_id in named]
    if not submissions:
        return [], RecordedRuns({}), {}
    since = min(one.at_ms for one in submissions)
    progress("reading journals", 0, None)
    runs = log.runs([one.event.run_id for one in submissions], since)
    chosen, left_out = options.selection.choose(submissions, runs)
    calls = CallRecordings()
    for number, call in enumerate(log.calls(since)):
        calls.add(call)
        if number % 500 == 0:
            progress("reading calls", number, None)
    return chosen, RecordedRuns(runs, calls), left_out


def _state(options: BacktestOptions, candidate: Candidate, folder: Path) -> StateFile:
    """Return the file of what is done: the one that was named, else one that equal commands share."""
    files = {
        spec: file_digest(Path(spec.rpartition(":")[2])) or file_digest(Path(spec.partition(":")[0]))
        for spec in candidate.specs
    }
    subject: dict[str, Any] = {
        "agent": options.agent,
        "candidate": files,
        "models": options.policies.models,
        "tools": options.policies.tools,
        "allowed": sorted(options.policies.allowed),
        "stubs": dict(options.policies.stubs),
        "tries": options.tries,
        "scores": list(options.scores),
    }
    name = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()[:12]
    return StateFile(options.state or folder / f"{options.agent}-{name}.jsonl", subject)


def _rounded(value: float) -> str:
    return f"{value:.4g}"
