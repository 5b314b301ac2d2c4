"""Tests of agents without a broker: in-memory log, virtual clock, scripted model and tools, crashes at will."""

# Names are loaded when they are first used: pytest imports this package at each start, for the plugin of golden runs.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.model.scripted_model import ScriptedModel
    from streams.testing.golden_file import GoldenRun
    from streams.testing.golden_replay import GoldenDifferenceError, check_golden
    from streams.testing.harness import BEGINNING_MS, Harness, run_agent
    from streams.testing.outcomes import Call, Hang, Outcome, RunEndedError
    from streams.testing.torture_report import TortureError, TortureFinding, TortureReport
    from streams.testing.torture_runs import torture

_HOMES = {
    "streams.model.scripted_model": ("ScriptedModel",),
    "streams.testing.golden_file": ("GoldenRun",),
    "streams.testing.golden_replay": ("GoldenDifferenceError", "check_golden"),
    "streams.testing.harness": ("BEGINNING_MS", "Harness", "run_agent"),
    "streams.testing.outcomes": ("Call", "Hang", "Outcome", "RunEndedError"),
    "streams.testing.torture_runs": ("torture",),
    "streams.testing.torture_report": ("TortureError", "TortureFinding", "TortureReport"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BEGINNING_MS",
    "Call",
    "GoldenDifferenceError",
    "GoldenRun",
    "Hang",
    "Harness",
    "Outcome",
    "RunEndedError",
    "ScriptedModel",
    "TortureError",
    "TortureFinding",
    "TortureReport",
    "check_golden",
    "run_agent",
    "torture",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'streams.testing' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(home), name)
    return value
