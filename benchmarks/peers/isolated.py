"""Starts a peer in an environment of its own, because its pins and ours do not agree."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def command(app: str, requirements: list[str], *arguments: str) -> list[str]:
    """Return the command that runs `app` (a file beside this one) with `requirements`."""
    needs = [part for requirement in requirements for part in ("--with", requirement)]
    return ["uv", "run", "--no-project", "--python", "3.11", *needs, "python", str(HERE / app), *arguments]


def start(app: str, requirements: list[str], *arguments: str) -> subprocess.Popen[bytes]:
    """Start `app` (a file beside this one) with `requirements`, its state in a fresh folder, output in a log there."""
    data = Path(tempfile.mkdtemp(prefix="streams-benchmark-"))
    with (data / "log").open("wb") as log:
        return subprocess.Popen(
            command(app, requirements, *arguments, str(data)),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=HERE,
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}
