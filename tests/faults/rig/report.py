"""The table that a fault run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.rig.kills import Outcome

Scene = tuple[str, Mapping[str, float]]
Tell = Callable[..., None]
Note = Callable[[Mapping[str, object]], None]

HEAD = (
    "| point | repetitions | kills | seeds | acknowledged: runs + events | lost | duplicates | "
    "side effects repeated | wrong rows | resumes after, s |"
)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown table with one line for each point."""
    lines = [HEAD, "| --- " * (HEAD.count("|") - 1) + "|"]
    for name in dict.fromkeys(outcome.point for outcome in outcomes):
        found = [outcome for outcome in outcomes if outcome.point == name]
        times = sorted(outcome.recovery_s for outcome in found)
        seeds = sorted(one.seed for one in found)
        cells = [
            name,
            len(found),
            f"{sum(one.kills for one in found)}" + (f" (+ {ends} loud ends)" if (ends := _restarts(found)) else ""),
            seeds[0] if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}",
            f"{sum(one.runs for one in found)} + {sum(one.events for one in found)}",
            sum(one.lost for one in found),
            sum(one.duplicates for one in found),
            f"{sum(one.repeated for one in found)} (at most {max(one.worst for one in found)} each)",
            sum(one.wrong_rows for one in found),
            f"{times[0]:.1f}" if len(times) == 1 else f"{times[len(times) // 2]:.1f} (worst {times[-1]:.1f})",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _restarts(outcomes: Sequence[Outcome]) -> int:
    return sum(one.restarts for one in outcomes)


def scene_table(scenes: Sequence[Scene]) -> str:
    """Return a Markdown table with one line for each scenario and one column for each figure."""
    names = list(dict.fromkeys(name for _, figures in scenes for name in figures))
    lines = ["| scenario | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for scenario, figures in scenes:
        cells = [f"{figures[name]:.6g}" if name in figures else "" for name in names]
        lines.append(f"| {scenario} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """Return a value as a table has it: seconds with one digit."""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def add_row(file: Path, row: Mapping[str, object]) -> None:
    """Append `row` to the Markdown table in `file`, which is begun if it is not there: what took long is not lost."""
    lines = [] if file.exists() else ["| " + " | ".join(row) + " |", "| --- " * len(row) + "|"]
    lines.append("| " + " | ".join(map(shown, row.values())) + " |")
    with file.open("a", encoding="utf-8") as table_file:
        table_file.write("\n".join(lines) + "\n")
