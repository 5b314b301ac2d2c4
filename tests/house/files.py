"""Lists the repository's files once, for the tests that look at their text."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "topics", "streams")
SKIPPED = {"__pycache__", "node_modules", "dist", "build"}  # and folders of tools, which write there meanwhile
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".avsc", ".html", ".css", ".js", ".sh", ".cfg", ".txt", ""}


def files() -> list[Path]:
    """Return what a checkout holds: tracked and new files, or the tree where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not _skipped(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def _skipped(parts: tuple[str, ...]) -> bool:
    return bool(SKIPPED & set(parts)) or any(part.startswith(".") and part != ".ci" for part in parts[:-1])


def texts() -> list[tuple[str, str]]:
    """Return relative path and content of every text file."""
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text("utf-8", "ignore"))
        for path in files()
        if path.suffix in TEXT and path.name != "LICENSE"
    ]


def modules() -> list[Path]:
    """Return the modules of the three packages."""
    return [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]
