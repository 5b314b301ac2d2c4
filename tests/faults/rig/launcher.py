"""A worker that stops itself at the n-th time that it reaches a stage of its work: `launcher STAGE N [SIGNAL]`.

Only stages from the first intake on are counted, so that n falls into the load and not into the start; restoring is
counted from the start, since it is part of it. A worker without a stage in its arguments is just a worker.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading

from streams.settings import load
from streams.worker import main

FROM_THE_START = frozenset({"restoring", "restored", "draining"})
ARMED_BY = "before intake"


class Fuse:
    """Counts the stages and ends or stops the process at the right one."""

    def __init__(self, stage: str, number: int, number_of_signal: int, *, armed: bool = False) -> None:
        self.stage = stage
        self.left = number
        self.signal = number_of_signal
        self.armed = armed or stage in FROM_THE_START
        self.lock = threading.Lock()

    def __call__(self, stage: str) -> None:
        """Be told a stage, from any thread."""
        self.armed = self.armed or stage == ARMED_BY
        if not self.armed or stage != self.stage:
            return
        with self.lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.signal)


def launch(arguments: list[str]) -> None:
    """Run the worker that the environment describes."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it hangs, for who looks into a failure
    settings = load()
    if arguments:
        name = arguments[2] if len(arguments) > 2 else "SIGKILL"
        fuse = Fuse(arguments[0], int(arguments[1]), int(signal.Signals[name]))
        main.run(settings, settings.pool, settings.slot, fuse)
    else:
        main.run(settings, settings.pool, settings.slot)


if __name__ == "__main__":
    launch(sys.argv[1:])
