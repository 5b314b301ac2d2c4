"""Where two runs part, for `streams runs diff`: their journals are read from the log and compared step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.backtest.timeline import TimelineStep, diff_lines, differing_steps, first_difference, timeline
from streams.cli.log import open_log
from streams.cli.pipeline import gateway
from streams.cli.positions import moment
from streams.contract.runs import RunState
from streams.replay.compare import differences
from streams.replay.log import ReplayLog
from streams.replay.run_observations import Observed, outcome_of

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two runs with their timelines: `steps` and `others` are those of `one` and `other`."""

    one: Observed
    other: Observed
    steps: list[TimelineStep]
    others: list[TimelineStep]

    @classmethod
    def of(cls, one: str, other: str, runs: Mapping[str, Observed]) -> RunDiff:
        """Return the difference of two runs among `runs`, which has their descendants, too."""
        journals = {run: found.entries for run, found in runs.items()}
        return cls(runs[one], runs[other], timeline(one, journals), timeline(other, journals))

    def outcome_differences(self) -> list[dict[str, Any]]:
        """Return where status, result or error differ, as JSON pointers with both values."""
        found = differences(outcome_of(self.one.view), outcome_of(self.other.view))
        return [{"path": one["at"], "a": one["observed"], "b": one["replayed"]} for one in found]

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON data."""
        first = first_difference(self.steps, self.others)
        before, after = first or (None, None)
        place = before or after
        return {
            "a": self.one.view.run_id,
            "b": self.other.view.run_id,
            "equal": first is None and not self.outcome_differences(),
            "differing_steps": differing_steps(self.steps, self.others),
            "first": None
            if place is None
            else {
                "path": "/".join(part for part in (place.run.lstrip("/"), place.path) if part),
                "a": None if before is None else before.to_json(),
                "b": None if after is None else after.to_json(),
            },
            "outcome": self.outcome_differences(),
            "input": [
                {"path": one["at"], "a": one["observed"], "b": one["replayed"]}
                for one in differences(self.one.view.input, self.other.view.input)
            ],
            "diff": diff_lines(self.steps, self.others, most=100_000),
        }


def read_diff(one: str, other: str) -> RunDiff:
    """Read two runs and all that they called; blocking."""
    with gateway() as server:
        made = [moment(server.read(RunState, f"/runs/{run}").created_at) for run in (one, other)]
    here = open_log()
    log = ReplayLog(here.kafka, here.codec, here.names, here.catalog)
    return RunDiff.of(one, other, log.runs([one, other], int(min(made).timestamp() * 1000)))


def print_diff(screen: Console, found: RunDiff) -> None:
    """Print both timelines: what is in A only begins with - (red), what is in B only with + (green)."""
    from rich.markup import escape

    shown = found.to_json()
    for name in ("input", "outcome"):
        for one in shown[name]:
            screen.print(
                f"{name} {escape(one['path'])}: [red]{escape(repr(one['a']))}[/] [green]{escape(repr(one['b']))}[/]",
                soft_wrap=True,
            )
    for line in shown["diff"]:
        colour = {"-": "red", "+": "green"}.get(line.lstrip()[:1], "dim")
        screen.print(f"[{colour}]{escape(line)}[/]", soft_wrap=True)
    word = "equal" if shown["equal"] else f"{shown['differing_steps']} steps differ"
    screen.print(f"{escape(shown['a'])} and {escape(shown['b'])}: {word}")
