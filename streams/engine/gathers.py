"""`gather`: branches with paths of their own, so that the order in which they finish changes no identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streams.engine.driver import Driver, Frame, Op
from streams.errors import Cancelled


class GatherOp(Op[list[Any]]):
    """Waits for all branches; the first error, in log order, is raised at once unless errors are wanted as results."""

    __slots__ = ("branches", "interrupted", "left", "results", "return_exceptions", "settled", "work")
    kind = "gather"

    def __init__(self, driver: Driver, work: Sequence[Any], *, return_exceptions: bool) -> None:
        super().__init__(driver)
        self.work: Sequence[Any] = work
        self.return_exceptions = return_exceptions
        self.results: list[Any] = [None] * len(work)
        self.branches: list[Frame] = []
        self.left = len(work)
        self.settled = False
        self.interrupted: Callable[[], BaseException] | None = None

    def begin(self) -> bool:
        """Begin every branch in order; without any, or if none has to wait, go on at once."""
        driver, prefix = self.driver, self.path
        self.settled = True  # no resume while branches are still being begun
        work, self.work = self.work, ()
        for index, one in enumerate(work):
            self.branches.append(driver.branch(self, index, f"{prefix}.{index}.", one))
            if driver.outcome is not None:
                return True
        if self.error is not None or self.left == 0:
            self.value = self.results
            return False
        self.settled = False
        return True

    def branch_done(self, index: int, value: Any, error: BaseException | None) -> None:
        """Take the end of a branch; resume the frame if that was the last one or an error to raise."""
        self.left -= 1
        self.results[index] = value
        if error is not None:
            self._failed(index, error)
        if not self.settled and (self.left == 0 or (self.error is not None and self.interrupted is None)):
            self.settled = True
            error = self.error if self.interrupted is None else self.interrupted()
            self.driver.resume(self.frame, self.results, error)

    def _failed(self, index: int, error: BaseException) -> None:
        if self.return_exceptions and isinstance(error, Exception):
            self.results[index] = error
        elif self.error is None:
            self.error = error

    def interrupt(self, make: Callable[[], BaseException]) -> None:
        """Interrupt every branch and, once all have cleaned up, the frame that waits for them."""
        if self.interrupted is not None and isinstance(self.interrupted(), Cancelled):
            return
        self.interrupted = make
        for frame in self.branches:
            if frame.op is not None:
                self.driver.interrupt(frame, make)
