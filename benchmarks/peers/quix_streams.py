"""Quix Streams, as its users run it."""

from __future__ import annotations

import subprocess

from benchmarks.payload import Format
from benchmarks.peers.isolated import start

EVENTS = 200_000
"""Events a run: some ten seconds."""


def run(
    bootstrap: str, topic_in: str, topic_out: str, fmt: Format, guarantee: str = "at-least-once"
) -> subprocess.Popen[bytes]:
    """Start it and return its process."""
    needs = ["quixstreams==3.28.1", "fastavro==1.13.1"]
    return start("quix_app.py", needs, bootstrap, topic_in, topic_out, fmt, guarantee)
