"""Measures runs of several checkouts in turn, on one broker: a slow minute of the machine hits all of them.

`uv run python -m benchmarks.runs_beside FOLDER FOLDER …` takes worktrees with their environments (`uv sync` there).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
from pathlib import Path

from benchmarks.stateful_reaction import cluster
from streams.clock import utc_now

_LONE = re.compile(r"lone (\w+): p50 ([\d.]+) ms, p99 ([\d.]+) ms")
_MANY = re.compile(r"runs of (\w+) at once: ([\d,]+) runs/s, ([\d,]+) us")


def main() -> None:
    """Measure and print each round, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lone", type=int, default=60, help="runs one at a time")
    parser.add_argument("--many", type=int, default=3000, help="runs at once")
    options = parser.parse_args()
    seen: dict[tuple[str, Path], list[float]] = {}
    with cluster(None) as bootstrap:
        for number in range(options.rounds):
            for folder in options.folders if number % 2 == 0 else reversed(options.folders):
                found = measured(folder, bootstrap, options.lone, options.many)
                for name, value in found.items():
                    seen.setdefault((name, folder), []).append(value)
                shown = ", ".join(f"{name} {value:,.1f}" for name, value in found.items())
                load = os.getloadavg()[0]
                print(f"{utc_now():%H:%M:%S} {folder.name}: {shown} (load {load:.1f})", flush=True)
    for name, folder in sorted(seen, key=lambda place: place[0]):
        values = seen[name, folder]
        print(f"{name:<24}{folder.name:<20}median {statistics.median(values):>10,.1f}  of {len(values)}")


def measured(folder: Path, bootstrap: str, lone: int, many: int) -> dict[str, float]:
    """Return the figures of one checkout by name."""
    command = [str(folder / ".venv/bin/python"), "-m", "benchmarks.runs", "--bootstrap", bootstrap]
    command += ["--lone", str(lone), "--many", str(many)]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = {}
    for agent, half, most in _LONE.findall(said):
        found |= {f"{agent} p50 ms": float(half), f"{agent} p99 ms": float(most)}
    for agent, rate, cpu in _MANY.findall(said):
        found |= {f"{agent} runs/s": float(rate.replace(",", "")), f"{agent} CPU us": float(cpu.replace(",", ""))}
    return found


if __name__ == "__main__":
    main()
