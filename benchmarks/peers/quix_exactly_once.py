"""Quix Streams with its exactly-once guarantee."""

from __future__ import annotations

import subprocess

from benchmarks.payload import Format
from benchmarks.peers import quix_streams
from benchmarks.peers.quix_streams import EVENTS  # noqa: F401 - each engine says how many events a run has


def run(bootstrap: str, topic_in: str, topic_out: str, fmt: Format) -> subprocess.Popen[bytes]:
    """Start it and return its process."""
    return quix_streams.run(bootstrap, topic_in, topic_out, fmt, "exactly-once")
