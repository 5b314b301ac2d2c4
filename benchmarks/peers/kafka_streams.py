"""Kafka Streams with `exactly_once_v2` and one thread, as its users run it; raw events only. Needs a JDK."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.payload import Format
from streams.local.jars import Jar, install, pinned
from streams.settings import load

EVENTS = 400_000
"""Events a run: some ten seconds."""

_OWN = (
    Jar(
        "org.apache.kafka",
        "kafka-streams",
        "4.2.2",  # the version of the embedded broker's `kafka-clients`
        2_086_508,
        "91d15d566827f4f7c9eb35bcfc50f2bf454262eb6f0f65c102cbcfdb441cddc6",
    ),
    Jar(
        "org.rocksdb",
        "rocksdbjni",
        "10.1.3",
        72_725_808,
        "e7f925287d9fe2574fb7c7a86f7facaa9b8ab602a2eed0e598bf633528121498",
    ),
)
_SHARED = ("kafka-clients", "slf4j-api", "slf4j-simple", "lz4-java", "zstd-jni", "snappy-java", "jackson")


def run(bootstrap: str, topic_in: str, topic_out: str, fmt: Format) -> subprocess.Popen[bytes]:
    """Start it and return its process; SystemExit where there is no JDK, or for events that are not raw."""
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        raise SystemExit("Kafka Streams needs a JDK: `apt install default-jdk-headless`, or leave it out by --engines.")
    if fmt != "raw":
        raise SystemExit("Kafka Streams is measured with raw events only.")
    shared = [jar for jar in pinned() if jar.artifact.startswith(_SHARED)]
    jars = install(load().cache_dir / "benchmark-jars", [*_OWN, *shared])
    folder = Path(tempfile.mkdtemp(prefix="streams-benchmark-"))
    source = Path(__file__).with_name("KafkaStreamsApp.java")
    command = [java, "-cp", ":".join(map(str, jars)), str(source), bootstrap, topic_in, topic_out, fmt, str(folder)]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
