"""What torture found: findings with the line to change and what to write instead, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from streams.errors import StreamsError

FindingKind = Literal["nondeterminism", "effect-outside", "shared-state", "retry-under-new-key", "differs-from-record"]


@dataclass(frozen=True, slots=True)
class TortureFinding:
    """One thing that is wrong: `place` is file and line of the user's code, `cause` what stands there.

    `effect` says what followed from it, `use` what to write instead.
    """

    kind: FindingKind
    place: str
    cause: str
    effect: str
    use: str

    def lines(self) -> list[str]:
        """Return the finding as text."""
        found = [f"{_short(self.place)}  {self.kind}: {self.cause}"]
        found += [f"    {line}" for line in self.effect.splitlines()]
        return [*found, *([f"    use {self.use}"] if self.use else [])]


@dataclass(frozen=True, slots=True)
class TortureReport:
    """How one run stood it: what was done to it, and what was found.

    `kills` were done of `kills_possible`; `not_judged` are executions in another order that asked for what nothing
    answers.
    """

    agent: str
    run_id: str
    status: str
    commits: int
    kills: int
    kills_possible: int
    reorderings: int
    lost_answers: int
    not_judged: int
    seconds: float
    findings: tuple[TortureFinding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {**asdict(self), "passed": self.passed}

    def text(self) -> str:
        """Return the report for people."""
        done = (
            f"{self.kills} of {self.kills_possible} kills, {self.reorderings} reorderings, "
            f"{self.lost_answers} lost answer{'s' * (self.lost_answers != 1)}"
        )
        count = len(self.findings)
        what = "nothing found" if not count else f"{count} finding{'s' * (count != 1)}"
        lines = [f"agent {self.agent}, run {self.run_id} ({self.status}): {what} in {done} ({self.seconds:.1f} s)"]
        for finding in self.findings:
            lines += ["", *finding.lines()]
        if self.notes:
            lines += ["", *(f"note: {note}" for note in self.notes)]
        return "\n".join(lines)


class TortureError(StreamsError, AssertionError):
    """Raised by `torture` for an agent that a crash can break; `report` has the findings, the message shows them."""

    def __init__(self, report: TortureReport) -> None:
        super().__init__(report.text())
        self.report = report


def _short(place: str) -> str:
    """Return a place with the path from here, if it lies below."""
    file, _, line = place.rpartition(":")
    path = Path(file)
    return f"{path.relative_to(Path.cwd())}:{line}" if path.is_relative_to(Path.cwd()) else place
