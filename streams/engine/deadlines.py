"""Time limits of stages and of the run: a soft one that the function meets, a hard one that ends the run."""

from __future__ import annotations

from typing import Any

from schemas.run import ENDED
from streams.engine.core import Core
from streams.engine.decision import Timer
from streams.engine.entry import DEADLINE, RESUME, Entry
from streams.engine.marks import GRACE_MS, arm
from streams.errors import JournalMismatch, SoftTimeout


class Clocked(Core):
    """A run with the timers of its stages and its deadline."""

    __slots__ = ("_soft",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._soft = False  # the deadline was handed over, the grace runs

    def _stage_fired(self, path: str, due: int) -> None:
        mark = self._driver.stages.get(path)
        if mark is None or mark.due_ms is None:
            return
        if mark.soft and due == mark.due_ms + GRACE_MS:
            self._end("failed", error=_hard(f"stage {mark.name}", path))
        elif not mark.soft and due == mark.due_ms:
            outer = None if mark.outer is None else mark.outer.name
            entry = self.journal.append(
                path,
                "stage",
                mark.name,
                status="timed_out",
                resume=mark.resume,
                due_ms=due,
                stage=outer,
                started_ms=mark.begun_ms,
            )
            self._soft_stage(entry)
            if path in self._driver.stages and self._driver.outcome is None:
                arm(self._driver, mark)

    def _soft_stage(self, entry: Entry) -> None:
        mark = self._driver.stages.get(entry.path)
        if mark is None:
            if self.journal.tolerates(entry):
                return
            raise JournalMismatch(
                f"entry {entry.seq} ends stage {entry.name!r}, which the code is not in: restore the old code or fork",
                path=entry.path,
            )
        mark.soft = True
        message = f"stage {mark.name} took longer than {mark.timeout or 0:g} s: save and clean up"
        self._interrupt(entry, lambda: SoftTimeout(message, path=entry.path), mark.frame)

    def _load_deadline(self) -> None:
        """Set the deadline that counts: the submission's, or the one that the last resume gave."""
        self.deadline_ms = self.journal.view.meta.get("deadline_ms")
        for entry in self.journal.entries:
            if entry.path.startswith(RESUME):
                self.deadline_ms = entry.due_ms

    def _arm_deadline(self) -> None:
        due = self.deadline_ms
        if due is not None:
            self.journal.decision.timers.append(Timer(DEADLINE, due + (GRACE_MS if self._soft else 0)))

    def _deadline_fired(self, fired: int) -> None:
        due = self.deadline_ms
        if due is None or self.journal.view.status in ENDED or self.held is not None:
            return
        if not self.driving:
            if fired == due:
                self._end("failed", error=_hard("the run", ""))
        elif self._soft and fired == due + GRACE_MS:
            self._end("failed", error=_hard("the run", DEADLINE))
        elif not self._soft and fired == due:
            self.journal.decision.timers.append(Timer(DEADLINE, due + GRACE_MS))
            self._soft_deadline(self.journal.append(DEADLINE, "deadline", "deadline", status="timed_out", due_ms=due))

    def _soft_deadline(self, entry: Entry) -> None:
        self._soft = True
        message = "the run's deadline has passed: save and clean up"
        self._interrupt(entry, lambda: SoftTimeout(message, path=DEADLINE))


def _hard(what: str, path: str) -> dict[str, Any]:
    error: dict[str, Any] = {"type": "HardTimeout", "message": f"{what} went on after its time and its grace were over"}
    return {**error, "path": path} if path else error
