"""Bare Faust, as its users run it."""

from __future__ import annotations

import subprocess

from benchmarks.payload import Format
from benchmarks.peers.isolated import start

EVENTS = 20_000
"""Events a run: some ten seconds."""


def run(bootstrap: str, topic_in: str, topic_out: str, fmt: Format) -> subprocess.Popen[bytes]:
    """Start it and return its process."""
    requirements = ["faust-streaming==0.15.3", "mode-streaming==0.7.1", "fastavro==1.13.1"]
    return start("faust_app.py", requirements, bootstrap, topic_in, topic_out, fmt)
