"""The state of one run in memory and what every turn of it needs: begin, guard, interrupt, end, inbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.run import ENDED
from streams.define.agents import Agent
from streams.engine.driver import Driver, Frame
from streams.engine.effects import EffectOp
from streams.engine.ending import Outcome, describe, end_run, result_json
from streams.engine.entry import INBOX, Entry
from streams.engine.journal import Journal
from streams.engine.jsonable import from_json
from streams.engine.run import Run
from streams.engine.view import RunView
from streams.errors import Cancelled, JournalMismatch


class Core:
    """A run's journal and its function; the classes above it say what a message or a timer does to them."""

    __slots__ = (
        "_cancelling",
        "_driver",
        "_main",
        "_signals",
        "agent",
        "agents",
        "deadline_ms",
        "held",
        "journal",
        "run_id",
    )

    def __init__(
        self,
        agent: Agent[Any, Any],
        run_id: str,
        *,
        pool: str = "default",
        now_ms: int = 0,
        agents: Mapping[str, Agent[Any, Any]] | None = None,
    ) -> None:
        """Make the machine of a run that is in `pool`; `agents` are those that its function may call by name."""
        self.agent = agent
        self.agents = agents or {}
        self.run_id = run_id
        self.journal = Journal(run_id, agent.name, agent.version, pool)
        self.journal.now_ms = now_ms
        self.held: str | None = None
        self.deadline_ms: int | None = None
        self._driver = Driver(self.journal)
        self._main: Frame | None = None
        self._cancelling = False
        self._signals: set[str] = set()

    @property
    def status(self) -> str:
        """One of queued, running, waiting, succeeded, failed, cancelled."""
        known = self.journal.view.status
        if known in ENDED or known == "queued":
            return known
        return "running" if self._driver.effects and self.held is None else "waiting"

    @property
    def idle(self) -> bool:
        """Whether no attempt is under way, so that the machine may be dropped from memory."""
        return self._driver.performing == 0

    @property
    def driving(self) -> bool:
        """Whether the function is under way in this machine."""
        return self._main is not None and self._driver.outcome is None and not self._driver.closed

    def view(self) -> RunView:
        """Return the run's state, with what is under way now."""
        view = self.journal.view
        view.status = self.status
        if self.held is not None:
            view.reason = self.held
        for op in self._driver.waiting.values():
            if isinstance(op, EffectOp):
                view.step = (op.name, op.attempt)
                break
        return view

    def drop(self) -> None:
        """Let go of the function without running its clean-up; the run itself is not touched."""
        self._driver.close()

    def __del__(self) -> None:
        driver = getattr(self, "_driver", None)
        if driver is not None and driver.frames:
            driver.close()

    def _guarded(self, turn: Callable[[], None]) -> None:
        """Take a turn; whatever goes wrong in it is this run's failure and nobody else's."""
        try:
            turn()
            self._driver.drain()
        except JournalMismatch as mismatch:
            self._end("failed", error={"type": "JournalMismatch", "message": str(mismatch), "entry": mismatch.path})
        except BaseException as error:  # noqa: BLE001  a predicate of the author that raises must not take the worker along
            if self.journal.view.status not in ENDED:
                self._end("failed", error=describe(error))
        else:
            if self._driver.outcome is not None and self._main is not None:
                self._over(*self._driver.outcome)

    def _over(self, value: Any, error: BaseException | None) -> None:
        """End the run by what its function returned or raised."""
        if self._cancelling:
            self._end("cancelled", error={"reason": self.journal.view.reason})
        elif error is not None:
            self._end("failed", error=describe(error))
        else:
            try:
                result = result_json(self.agent, value)
            except BaseException as unfit:  # noqa: BLE001  serializers and validators of a result are user code
                self._end("failed", error=describe(unfit))
                return
            self._end("succeeded", result=result)

    def _end(
        self, outcome: Outcome, *, result: Any = None, error: dict[str, Any] | None = None, resumes: bool = True
    ) -> None:
        self.journal.replaying = False
        end_run(self.journal, self._driver, self.agent, outcome, result=result, error=error, resumes=resumes)
        self._main = None

    def _begin(self) -> None:
        """Start the function with its input as the declared type."""
        kind = self.agent.input_type
        value = from_json(self.journal.view.input, kind) if self.agent.takes_input else None
        coro = self.agent.start(value, Run(self._driver, self.agent, self.agents))
        self._main = frame = Frame("", coro)
        self._driver.resume(frame)

    def _interrupt(self, entry: Entry, make: Callable[[], BaseException], frame: Frame | None = None) -> None:
        """Raise an exception where the function waits, at the time of the entry that says so."""
        self._driver.time_ms = entry.finished_ms or entry.recorded_ms
        target = frame or self._main
        if target is not None:
            self._driver.interrupt(target, make)

    def _cancel(self, entry: Entry) -> None:
        self._cancelling = True
        self._interrupt(entry, lambda: Cancelled(entry.name or "cancelled"))

    def _inbox_entry(
        self,
        signal_id: str,
        kind: str,
        name: str,
        attempt: int = 1,
        output: Any = None,
        error: Any = None,
        usage: Any = None,
    ) -> Entry:
        self._signals.add(signal_id)
        return self.journal.append(
            f"{INBOX}{signal_id}", kind, name, attempt=attempt, output=output, error=error, usage=usage
        )

    def _into_inbox(self, entry: Entry) -> None:
        if entry.kind == "child":
            self._driver.children[entry.name] = entry
        elif entry.kind == "signal":
            signal_id = entry.path.removeprefix(INBOX)
            self._driver.inbox[signal_id] = self._driver.inbox_data[signal_id] = entry
