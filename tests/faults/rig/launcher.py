"""A worker that stops itself at the n-th time that it reaches a stage of its work: `launcher STAGE N [SIGNAL]`.

Only stages from the first intake on are counted, so that n falls into the load and not into the start; restoring is
counted from the start, since it is part of it. A worker without a stage in its arguments is just a worker, until
SIGUSR2 tells it to read a stage from `FUSE`, so that whoever has survived one kill is the victim of the next.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from streams.settings import load
from streams.worker import main

FROM_THE_START = frozenset({"restoring", "restored", "draining"})
ARMED_BY = "before intake"


FUSE = "FAULTS_FUSE"  # environment: the file that has stage, number and signal when SIGUSR2 comes, a line each


class Fuse:
    """Counts the stages and ends or stops the process at the right one."""

    def __init__(
        self, stage: str = "", number: int = 0, number_of_signal: int = signal.SIGKILL, *, armed: bool = False
    ) -> None:
        self.stage = stage
        self.left = number
        self.signal = number_of_signal
        self.armed = armed or stage in FROM_THE_START
        self.lock = threading.Lock()

    def set(self, file: Path) -> None:
        """Take stage, number and signal from `file`, and say by its removal that they were taken."""
        stage, number, name = file.read_text("utf-8").splitlines()
        with self.lock:
            self.stage, self.left, self.signal = stage, int(number), int(signal.Signals[name])
            self.armed = stage in FROM_THE_START
        file.unlink()

    def __call__(self, stage: str) -> None:
        """Be told a stage, from any thread."""
        self.armed = self.armed or stage == ARMED_BY
        if not self.armed or stage != self.stage:
            return
        with self.lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.signal)


def launch(arguments: Sequence[str]) -> None:
    """Run the worker that the environment describes."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it hangs, for who looks into a failure
    fuse = Fuse()
    if arguments:
        name = arguments[2] if len(arguments) > 2 else "SIGKILL"
        fuse = Fuse(arguments[0], int(arguments[1]), int(signal.Signals[name]))
    if file := os.environ.get(FUSE):
        signal.signal(signal.SIGUSR2, lambda _number, _frame: fuse.set(Path(file)))
    settings = load()
    main.run(settings, settings.pool, settings.slot, fuse)


if __name__ == "__main__":
    launch(sys.argv[1:])
