"""A worker that has drained ends within its grace, whatever its threads still wait for."""

from __future__ import annotations

import subprocess
import sys

HUNG = """
import threading
from streams.runtime.faust.app import end_within
threading.Thread(target=threading.Event().wait).start()  # an answer of a broker that is away
end_within(0.2)
"""
DONE = """
from streams.runtime.faust.app import end_within
end_within(3600)
raise SystemExit(5)
"""


def test_a_thread_that_waits_for_a_broker_does_not_hold_up_the_end() -> None:
    assert subprocess.run([sys.executable, "-c", HUNG], timeout=60, check=False).returncode == 0


def test_a_process_that_ends_by_itself_is_not_waited_for() -> None:
    assert subprocess.run([sys.executable, "-c", DONE], timeout=60, check=False).returncode == 5
