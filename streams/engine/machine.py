"""The machine of one run: messages in, decisions out. The worker and the tests carry out the same decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from schemas.run import CLOSED, ENDED, RunStarted
from streams.define.agents import Agent
from streams.engine.children import CallOp
from streams.engine.decision import Decision, Output, Timer
from streams.engine.driver import Driver, Frame, Op
from streams.engine.effects import EffectOp
from streams.engine.ending import Outcome, describe, end_run, result_json
from streams.engine.entry import DEADLINE, END, INBOX, LATE, RESUME, STARTED, Entry
from streams.engine.fork import fork
from streams.engine.journal import Journal
from streams.engine.jsonable import from_json, to_json
from streams.engine.marks import GRACE_MS, arm
from streams.engine.messages import (
    CancelAsked,
    ChildDone,
    EffectDone,
    ForkAsked,
    Message,
    ResumeAsked,
    SignalArrived,
    Start,
    Submit,
    TimerFired,
)
from streams.engine.run import Run
from streams.engine.submission import record_submission
from streams.engine.timers import NOT_BEFORE
from streams.engine.view import RunView
from streams.engine.waits import SleepOp, WaitOp
from streams.errors import Cancelled, JournalMismatch, SoftTimeout


class Machine:
    """Turns what happens to a run into entries, outputs, effects and timers. Pure: no I/O, no clock, no loop.

    One decision is one unit; the units of a run are to be committed in order. Drop a machine with `drop` at any time
    and bring the run back with `restore` from its committed entries.
    """

    __slots__ = (
        "_cancelling",
        "_driver",
        "_main",
        "_signals",
        "_soft",
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
        watch: Callable[[Op[Any]], None] | None = None,
    ) -> None:
        """Make the machine of a run in `pool` that may call `agents` by name; `watch` is given its operations."""
        self.agent = agent
        self.agents = agents or {}
        self.run_id = run_id
        self.journal = Journal(run_id, agent.name, agent.version, pool)
        self.journal.now_ms = now_ms
        self.held: str | None = None
        self.deadline_ms: int | None = None
        self._driver = Driver(self.journal, watch)
        self._main: Frame | None = None
        self._cancelling = False
        self._signals: set[str] = set()
        self._soft = False  # the deadline was handed over, the grace runs

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

    def handle(self, message: Message, now_ms: int) -> Decision:
        """Take one message at a time (milliseconds since the epoch); one that changes nothing gives nothing."""
        journal = self.journal
        journal.now_ms = now_ms
        journal.decision = decision = Decision()
        self._guarded(lambda: self._HANDLERS[type(message)](self, message))
        return decision

    def restore(self, entries: Iterable[Entry], now_ms: int) -> Decision:
        """Bring a run back from its committed entries; the decision has the effects and timers to go on with."""
        journal = self.journal
        journal.now_ms = now_ms
        journal.decision = decision = Decision()
        journal.load(entries)
        self._load_signals()
        self._load_deadline()
        if journal.view.version > self.agent.version:
            self.held = "version"
        else:
            self._guarded(self._restored)
        return decision

    def restore_failed(self, entries: Iterable[Entry], error: BaseException, now_ms: int) -> Decision:
        """Bring a run back and end it as failed without calling its function; one that has ended is only restored."""
        journal = self.journal
        journal.now_ms = now_ms
        journal.decision = decision = Decision()
        journal.load(entries)
        if journal.view.status in ENDED:
            return self.restore(journal.entries, now_ms)
        self._end("failed", error=describe(error), resumes=False)
        return decision

    def fail(self, error: BaseException, now_ms: int) -> Decision:
        """End the run as failed, resumable, by an error of whoever carries decisions out."""
        self.journal.now_ms = now_ms
        self.journal.decision = decision = Decision()
        if self.journal.view.status not in ENDED:
            self._end("failed", error=describe(error))
        return decision

    def _restored(self) -> None:
        view, timers = self.journal.view, self.journal.decision.timers
        if view.status == "queued":
            self._arm_deadline()
            if view.meta.get("not_before_ms") is not None:
                timers.append(Timer(NOT_BEFORE, view.meta["not_before_ms"]))
        elif view.status == "failed":
            end = next(entry for entry in reversed(self.journal.entries) if entry.path.startswith(END))
            if end.due_ms is not None:
                timers.append(Timer(end.path, end.due_ms))
        elif view.status not in ENDED:
            self._replay()

    def _replay(self) -> None:
        """Run the function from the start and give it what is recorded."""
        journal = self.journal
        handed = [entry for entry in journal.rewind() if entry.path != STARTED]
        started = next(entry for entry in journal.entries if entry.path == STARTED)
        self._driver = Driver(journal, self._driver.watch)
        self._soft = self._cancelling = False
        self._driver.time_ms = started.finished_ms or started.recorded_ms
        journal.replaying = True
        self._begin()
        self._driver.replay(handed, self._replay_own)
        if self.driving:
            for mark in self._driver.stages.values():
                arm(self._driver, mark)
            self._arm_deadline()

    def _replay_own(self, entry: Entry) -> None:
        if entry.kind == "stage":
            self._soft_stage(entry)
        elif entry.path == DEADLINE:
            self._soft_deadline(entry)
        elif entry.kind == "cancel":
            self._cancel(entry)
        else:
            self._into_inbox(entry)

    # what the messages do

    def _submit(self, message: Submit) -> None:
        journal, event = self.journal, message.event
        if journal.entries:
            return
        record_submission(journal, event, self.agent.deadline)
        self._load_signals()
        self._load_deadline()
        if event.not_before_ms is not None:
            journal.decision.timers.append(Timer(NOT_BEFORE, event.not_before_ms))
        self._arm_deadline()

    def _start(self, message: Start | None) -> None:
        del message
        journal = self.journal
        view = journal.view
        if view.status != "queued" or self.held is not None:
            return
        journal.append(STARTED, "started", self.agent.name)
        event = RunStarted(
            run_id=self.run_id,
            agent=self.agent.name,
            parent=view.meta.get("parent"),
            started_ms=journal.now_ms,
            input=view.input,
            created_ms=view.created_ms,
        )
        journal.decision.outputs.append(Output("runs", event, f"{self.run_id}/started/0", self.run_id))
        if len(journal.entries) > 2:
            self._replay()
        else:
            self._driver.time_ms = journal.now_ms
            self._begin()

    def _effect_done(self, message: EffectDone) -> None:
        journal = self.journal
        for index, call in enumerate(message.calls):
            call_id = f"{self.run_id}/{message.path}/{message.attempt}/{index}"
            journal.decision.outputs.append(Output("calls", call, call_id, call.key_text() or call_id))
        journal.decision.outputs += message.also
        op = self._driver.waiting.get(message.path) if self.driving else None
        if isinstance(op, EffectOp) and op.expects(message):
            op.done(message)
        elif (
            message.error is None and message.parked is None and journal.entries
        ):  # it was paid for, but nobody waits for it any more
            journal.append(
                message.path + LATE,
                "late",
                resume=message.resume,
                attempt=message.attempt,
                output=message.value if message.encoded else to_json(message.value),
                usage=message.usage,
                started_ms=message.started_ms,
            )

    def _timer_fired(self, message: TimerFired) -> None:
        path, due = message.path, message.due_ms
        if path == DEADLINE:
            self._deadline_fired(due)
        elif path == f"{END}{self.journal.view.ended}":
            self._resume_asked(ResumeAsked(f"{path}/auto"))
        elif self.driving:
            op = self._driver.waiting.get(path)
            if isinstance(op, SleepOp | WaitOp | CallOp | EffectOp):
                op.fired(due)
            else:
                self._stage_fired(path, due)

    def _signal_arrived(self, message: SignalArrived) -> None:
        if message.id in self._signals or self.journal.view.status in CLOSED:
            return
        entry = self._inbox_entry(message.id, "signal", message.name, output=message.data)
        self._into_inbox(entry)
        if self.driving:
            for op in self._driver.waiting.values():
                if isinstance(op, WaitOp) and op.take(entry):
                    break

    def _child_done(self, message: ChildDone) -> None:
        if self.journal.view.status in CLOSED:
            return
        op = self._driver.waiting.get(message.path)
        if self.driving and isinstance(op, CallOp) and op.ended(message):
            return
        signal_id = f"{message.child_id}~{message.ending}"
        if signal_id not in self._signals:
            error = None if message.status == "succeeded" else {**(message.error or {}), "status": message.status}
            entry = self._inbox_entry(
                signal_id, "child", message.child_id, message.ending, message.result, error, message.usage
            )
            self._into_inbox(entry)

    def _cancel_asked(self, message: CancelAsked) -> None:
        if message.id in self._signals or self.journal.view.status in ENDED:
            return
        entry = self._inbox_entry(message.id, "cancel", message.reason)
        if self.held is not None:
            return
        if self._cancelling or not self.driving:
            self._end("cancelled", error={"reason": message.reason})
        else:
            self._cancel(entry)

    def _resume_asked(self, message: ResumeAsked) -> None:
        journal = self.journal
        view = journal.view
        if view.status != "failed" or message.ending not in (None, view.ended) or self.held is not None:
            return
        failed = view.failed_path or ""
        voided = next((entry for entry in reversed(journal.entries) if failed and entry.path == failed), None)
        deadline = self.agent.deadline
        journal.append(
            f"{RESUME}{view.ended}",
            "resume",
            failed if voided is not None else "",
            attempt=0 if voided is None else voided.resume,
            due_ms=None if deadline is None else journal.now_ms + int(deadline * 1000),
        )
        self._load_deadline()
        if any(entry.path == STARTED for entry in journal.entries):
            self._replay()
        else:
            view.status = "queued"
            self._start(None)

    def _fork_asked(self, message: ForkAsked) -> None:
        fork(self.journal, message, self.agent.name, self.agent.pool)

    # stages and the deadline: a soft time-out that the function meets, a hard one that ends the run

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

    # one turn of the function

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

    def _load_signals(self) -> None:
        entries = self.journal.entries
        self._signals = {entry.path.removeprefix(INBOX) for entry in entries if entry.path.startswith(INBOX)}

    def _into_inbox(self, entry: Entry) -> None:
        if entry.kind == "child":
            self._driver.children[entry.name] = entry
        elif entry.kind == "signal":
            signal_id = entry.path.removeprefix(INBOX)
            self._driver.inbox[signal_id] = self._driver.inbox_data[signal_id] = entry

    _HANDLERS: ClassVar[dict[type[Any], Callable[[Any, Any], None]]] = {
        Submit: _submit,
        Start: _start,
        EffectDone: _effect_done,
        TimerFired: _timer_fired,
        SignalArrived: _signal_arrived,
        ChildDone: _child_done,
        CancelAsked: _cancel_asked,
        ResumeAsked: _resume_asked,
        ForkAsked: _fork_asked,
    }


def _hard(what: str, path: str) -> dict[str, Any]:
    error: dict[str, Any] = {"type": "HardTimeout", "message": f"{what} went on after its time and its grace were over"}
    return {**error, "path": path} if path else error
