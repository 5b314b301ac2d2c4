"""Reads what the tools of the limits' app told of their calls."""

from __future__ import annotations

from pathlib import Path


def times(folder: Path, name: str, word: str = "call") -> list[float]:
    """Return the seconds at which something happened, sorted."""
    found = [line.split() for line in lines(folder, name)]
    return sorted(int(at) / 1000 for at, _, said in found if said == word)


def processes(folder: Path, name: str) -> set[str]:
    """Return the processes that told something."""
    return {line.split()[1] for line in lines(folder, name)}


def lines(folder: Path, name: str) -> list[str]:
    """Return the lines of a file, none if it is not there yet."""
    path = folder / name
    return path.read_text("utf-8").splitlines() if path.exists() else []


def busiest(at: list[float], seconds: float) -> int:
    """Return the most calls that any window of that length has."""
    return max((sum(1 for other in at if one <= other < one + seconds) for one in at), default=0)


def together(folder: Path, name: str) -> int:
    """Return the most that were between their begin and their end at one time."""
    events = [(at, 1) for at in times(folder, name, "begin")] + [(at, -1) for at in times(folder, name, "end")]
    most = now = 0
    for _, step in sorted(events):
        now += step
        most = max(most, now)
    return most
