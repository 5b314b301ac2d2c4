"""Streams' own worker runtime: transactional, exactly-once, stores on disk."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks.payload import Format

EVENTS = 400_000
"""Events a run: some ten seconds."""


def run(bootstrap: str, topic_in: str, topic_out: str, fmt: Format) -> subprocess.Popen[bytes]:
    """Make the changelogs, start it and return its process."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {"cleanup.policy": "compact"}
    partitions = len(admin.list_topics(topic_in, timeout=30).topics[topic_in].partitions)
    changelogs = [NewTopic(f"{topic_in}.{name}", partitions, 1, config=config) for name in ("journal", "counts")]
    for future in admin.create_topics(changelogs).values():
        future.result(30)
    folder = Path(tempfile.mkdtemp(prefix="streams-benchmark-"))
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "benchmarks.peers.ours_app", bootstrap, topic_in, topic_out, fmt, str(folder)]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
