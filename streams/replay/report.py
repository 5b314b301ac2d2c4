"""What a replay found out, in the form in which it is printed and tested."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from streams.replay.world import Miss


@dataclass(slots=True)
class RunReport:
    """One run: how it ended at the time and how it ended now; `equal` is None where the log knows no ending.

    `recorded` counts answers from the log, `made` calls to the outside.
    """

    run_id: str
    agent: str
    observed: str | None
    replayed: str
    equal: bool | None
    differences: list[dict[str, Any]] = field(default_factory=list)
    recorded: int = 0
    made: int = 0
    parent: str | None = None


@dataclass(slots=True)
class ReplayReport:
    """A whole replay. `records` were read; `written` counts outputs by topic, `left_out` what was not run and why.

    `stopped` says that it was asked to stop before its end.
    """

    topic: str
    calls: str
    dry_run: bool
    into: str
    in_place: bool = False
    stopped: bool = False
    records: int = 0
    runs: list[RunReport] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    reactions: dict[str, dict[str, int]] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything that was asked could be answered."""
        return not self.misses

    def totals(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "runs": len(self.runs),
            "equal": sum(run.equal is True for run in self.runs),
            "different": sum(run.equal is False for run in self.runs),
            "unknown": sum(run.equal is None for run in self.runs),
            "recorded": sum(run.recorded for run in self.runs),
            "made": sum(run.made for run in self.runs),
            "missing": len(self.misses),
            "per_second": round((len(self.runs) or self.records) / self.seconds, 1) if self.seconds else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        plain = {"left_out": dict(self.left_out), "written": dict(self.written)}
        lists = {"runs": [asdict(run) for run in self.runs], "misses": [asdict(miss) for miss in self.misses]}
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in {*plain, *lists}}
        return {**rest, **lists, **plain, "complete": self.complete, "totals": self.totals()}
