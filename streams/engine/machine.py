"""The machine of one run: messages in, decisions out. The worker and the tests carry out the same decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from schemas.run import RunStarted
from streams.define.agents import Agent
from streams.engine.children import CallOp
from streams.engine.decision import Decision, Output, Timer
from streams.engine.driver import Driver, Frame
from streams.engine.effects import EffectOp
from streams.engine.ending import describe, end_run, result_json
from streams.engine.entry import DEADLINE, END, INBOX, LATE, RESUME, STARTED, SUBMITTED, Entry
from streams.engine.fork import fork_submission, forked_entries
from streams.engine.journal import Journal
from streams.engine.jsonable import digest, from_json, to_json
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
from streams.engine.view import ENDED, RunView
from streams.engine.waits import SleepOp, WaitOp
from streams.errors import Cancelled, JournalMismatch, SoftTimeout

NOT_BEFORE = "~not_before"


class Machine:
    """Turns what happens to a run into entries, outputs, effects and timers. Pure: no I/O, no clock, no loop.

    One decision is one unit; the units of a run are to be committed in order. Drop a machine with `drop` at any time
    and bring the run back with `restore` from its committed entries.
    """

    __slots__ = ("_cancelling", "_driver", "_handlers", "_main", "_signals", "agent", "held", "journal", "run_id")

    def __init__(self, agent: Agent[Any, Any], run_id: str, *, pool: str = "default", now_ms: int = 0) -> None:
        self.agent = agent
        self.run_id = run_id
        self.journal = Journal(run_id, agent.name, agent.version, pool)
        self.journal.now_ms = now_ms
        self.held: str | None = None
        self._driver = Driver(self.journal)
        self._main: Frame | None = None
        self._cancelling = False
        self._signals: set[str] = set()
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            Submit: self._submit,
            Start: self._start,
            EffectDone: self._effect_done,
            TimerFired: self._timer_fired,
            SignalArrived: self._signal_arrived,
            ChildDone: self._child_done,
            CancelAsked: self._cancel_asked,
            ResumeAsked: self._resume_asked,
            ForkAsked: self._fork_asked,
        }

    # what the worker reads

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

    # what the worker does

    def handle(self, message: Message, now_ms: int) -> Decision:
        """Take one message at a time (milliseconds since the epoch); what it changes nothing for gives nothing."""
        journal = self.journal
        journal.now_ms = now_ms
        journal.decision = decision = Decision()
        self._guarded(lambda: self._handlers[type(message)](message))
        return decision

    def restore(self, entries: Iterable[Entry], now_ms: int) -> Decision:
        """Bring a run back from its committed entries; the decision has the effects and timers to go on with."""
        journal = self.journal
        journal.now_ms = now_ms
        journal.decision = decision = Decision()
        journal.load(entries)
        self._signals = {entry.path.removeprefix(INBOX) for entry in journal.entries if entry.path.startswith(INBOX)}
        if journal.view.version > self.agent.version:
            self.held = "version"
        else:
            self._guarded(self._restored)
        return decision

    def drop(self) -> None:
        """Let go of the function without running its clean-up; the run itself is not touched."""
        self._driver.close()

    def __del__(self) -> None:
        driver = getattr(self, "_driver", None)
        if driver is not None and driver.frames:
            driver.close()

    # one turn

    def _guarded(self, turn: Callable[[], None]) -> None:
        try:
            turn()
            self._driver.drain()
        except JournalMismatch as mismatch:
            error = {"type": "JournalMismatch", "message": str(mismatch), "entry": mismatch.path}
            self._end("failed", error=error)
        except Exception as error:  # noqa: BLE001  a predicate of the author that raises must not take the worker along
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
            except (ValidationError, TypeError, ValueError) as unfit:
                self._end("failed", error=describe(unfit))
                return
            self._end("succeeded", result=result)

    def _end(self, outcome: Any, *, result: Any = None, error: dict[str, Any] | None = None) -> None:
        self.journal.replaying = False
        end_run(self.journal, self._driver, self.agent, outcome, result=result, error=error)
        self._main = None

    def _restored(self) -> None:
        status = self.journal.view.status
        if status == "queued":
            self._arm_deadline()
            not_before = self.journal.view.meta.get("not_before_ms")
            if not_before is not None and not_before > self.journal.now_ms:
                self.journal.decision.timers.append(Timer(NOT_BEFORE, not_before))
        elif status == "failed":
            last = self.journal.entries[-1]
            end = next((e for e in reversed(self.journal.entries) if e.path.startswith(END)), last)
            if end.due_ms is not None:
                self.journal.decision.timers.append(Timer(end.path, end.due_ms))
        elif status not in ENDED:
            self._replay()

    def _replay(self) -> None:
        """Run the function from the start and give it what is recorded."""
        journal = self.journal
        handed = [entry for entry in journal.rewind() if entry.path != STARTED]
        started = next(entry for entry in journal.entries if entry.path == STARTED)
        self._driver = Driver(journal)
        self._driver.time_ms = started.finished_ms or started.recorded_ms
        journal.replaying = True
        self._begin()
        self._driver.replay(handed, self._replay_special)
        if self.driving:
            for mark in self._driver.stages.values():
                arm(self._driver, mark)
            self._arm_deadline()

    def _replay_special(self, entry: Entry) -> None:
        if entry.kind == "stage":
            self._soft_stage(entry)
        elif entry.path == DEADLINE:
            self._soft_deadline(entry)
        elif entry.kind == "cancel":
            self._cancel(entry)
        else:
            self._into_inbox(entry)

    def _begin(self) -> None:
        """Start the function; an input that does not fit ends the run as failed."""
        kind = self.agent.input_type
        value = from_json(self.journal.view.input, kind) if self.agent.takes_input else None
        coro = self.agent.start(value, Run(self._driver, self.agent))
        self._main = frame = Frame("", coro)
        self._driver.resume(frame)

    # messages

    def _submit(self, message: Submit) -> None:
        journal, event = self.journal, message.event
        if journal.entries:
            return
        deadline = event.deadline_ms
        if self.agent.deadline is not None:
            own = journal.now_ms + int(self.agent.deadline * 1000)
            deadline = own if deadline is None else min(own, deadline)
        meta = {
            "parent": event.parent,
            "parent_path": event.parent_path,
            "parent_pool": event.parent_pool,
            "priority": event.priority,
            "deadline_ms": deadline,
            "not_before_ms": event.not_before_ms,
            "caller": event.caller,
            "forked_from": event.forked_from,
        }
        journal.append(
            SUBMITTED,
            "submitted",
            event.agent,
            status="submitted",
            digest=digest(event.agent, to_json(event.input)),
            input=event.input,
            output={name: value for name, value in meta.items() if value is not None},
            due_ms=deadline,
        )
        for entry in forked_entries(event.history or [], journal):
            journal.entries.append(entry)
            journal.decision.entries.append(entry)
            journal.view.apply(entry)
            if entry.path.startswith(INBOX):
                self._signals.add(entry.path.removeprefix(INBOX))
        if event.not_before_ms is not None and event.not_before_ms > journal.now_ms:
            journal.decision.timers.append(Timer(NOT_BEFORE, event.not_before_ms))
        self._arm_deadline()

    def _start(self, message: Start) -> None:
        del message
        journal = self.journal
        if journal.view.status != "queued" or self.held is not None:
            return
        view = journal.view
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
        op = self._driver.waiting.get(message.path)
        if (
            isinstance(op, EffectOp)
            and op.performing
            and op.attempt == message.attempt
            and op.resume == message.resume
            and self.driving
        ):
            op.done(message)
        elif message.error is None and journal.entries:
            journal.append(
                message.path + LATE,
                "late",
                resume=message.resume,
                attempt=message.attempt,
                output=to_json(message.value),
                usage=message.usage,
                started_ms=message.started_ms,
            )

    def _timer_fired(self, message: TimerFired) -> None:
        path, due = message.path, message.due_ms
        if path.startswith(END):
            if path == f"{END}{self.journal.view.ended}":
                self._resume_asked(ResumeAsked(f"{path}/auto"))
        elif path == DEADLINE:
            self._deadline_fired(due)
        elif self.driving:
            op = self._driver.waiting.get(path)
            if isinstance(op, SleepOp | WaitOp | CallOp):
                op.fired(due)
            elif isinstance(op, EffectOp):
                if op.due_ms == due and not op.performing:
                    op.perform()
            elif path in self._driver.stages:
                self._stage_fired(path, due)

    def _signal_arrived(self, message: SignalArrived) -> None:
        if message.id in self._signals or self.journal.view.status in ("succeeded", "cancelled"):
            return
        entry = self._inbox_entry(message.id, "signal", message.name, output=to_json(message.data))
        self._into_inbox(entry)
        if self.driving:
            for op in self._driver.waiting.values():
                if isinstance(op, WaitOp) and op.take(entry):
                    break

    def _child_done(self, message: ChildDone) -> None:
        if self.journal.view.status in ("succeeded", "cancelled"):
            return
        op = self._driver.waiting.get(message.path)
        if self.driving and isinstance(op, CallOp) and op.ended(message):
            return
        signal_id = f"{message.child_id}~{message.ending}"
        if signal_id not in self._signals:
            error = None if message.status == "succeeded" else {**(message.error or {}), "status": message.status}
            self._into_inbox(
                self._inbox_entry(
                    signal_id, "child", message.child_id, message.ending, message.result, error, message.usage
                )
            )

    def _cancel_asked(self, message: CancelAsked) -> None:
        if message.id in self._signals or self.journal.view.status in ENDED:
            return
        again = self._cancelling
        entry = self._inbox_entry(message.id, "cancel", message.reason)
        if self.held is not None:
            return
        if again or not self.driving:
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
        self._cancelling = False
        if any(entry.path == STARTED for entry in journal.entries):
            self._replay()
        else:
            view.status = "queued"
            self._start(Start())

    def _fork_asked(self, message: ForkAsked) -> None:
        journal = self.journal
        event = fork_submission(journal.entries, message, journal.pool)
        journal.append(f"~fork/{message.new_run_id}", "fork", message.new_run_id, input={"at": message.at})
        new_id = message.new_run_id
        journal.decision.outputs.append(
            Output("agents", event, f"{new_id}/submitted/0", new_id, self.agent.name, self.agent.pool)
        )

    # interruptions

    def _cancel(self, entry: Entry) -> None:
        self._cancelling = True
        self._interrupt(entry, lambda: Cancelled(entry.name or "cancelled"))

    def _interrupt(self, entry: Entry, make: Callable[[], BaseException], frame: Frame | None = None) -> None:
        self._driver.time_ms = entry.finished_ms or entry.recorded_ms
        target = frame or self._main
        if target is not None:
            self._driver.interrupt(target, make)

    def _stage_fired(self, path: str, due: int) -> None:
        mark = self._driver.stages[path]
        if mark.due_ms is None:
            return
        if mark.soft and due == mark.due_ms + GRACE_MS:
            self._end("failed", error=_hard(f"stage {mark.name}", path))
        elif not mark.soft and due == mark.due_ms:
            entry = self.journal.append(
                path,
                "stage",
                mark.name,
                status="timed_out",
                resume=mark.resume,
                due_ms=due,
                stage=None if mark.outer is None else mark.outer.name,
            )
            arm_after = mark
            self._soft_stage(entry)
            if path in self._driver.stages and self._driver.outcome is None:
                arm(self._driver, arm_after)

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

    def _arm_deadline(self) -> None:
        due = self._deadline()
        if due is not None:
            soft = any(e.path == DEADLINE and e.resume == self.journal.resume for e in self.journal.entries[-64:])
            self.journal.decision.timers.append(Timer(DEADLINE, due + (GRACE_MS if soft else 0)))

    def _deadline(self) -> int | None:
        for entry in reversed(self.journal.entries):
            if entry.path.startswith(RESUME):
                return entry.due_ms
            if self.journal.view.resumes == 0:
                break
        due: int | None = self.journal.view.meta.get("deadline_ms")
        return due

    def _deadline_fired(self, fired: int) -> None:
        due = self._deadline()
        if due is None or self.journal.view.status in ENDED or self.held is not None:
            return
        if not self.driving:
            self._end("failed", error=_hard("the run", ""))
        elif fired == due + GRACE_MS:
            self._end("failed", error=_hard("the run", DEADLINE))
        elif fired == due:
            self.journal.decision.timers.append(Timer(DEADLINE, due + GRACE_MS))
            self._soft_deadline(self.journal.append(DEADLINE, "deadline", "deadline", status="timed_out", due_ms=due))

    def _soft_deadline(self, entry: Entry) -> None:
        message = "the run's deadline has passed: save and clean up"
        self._interrupt(entry, lambda: SoftTimeout(message, path=DEADLINE))

    # the inbox

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


def _hard(what: str, path: str) -> dict[str, Any]:
    error: dict[str, Any] = {"type": "HardTimeout", "message": f"{what} went on after its time and its grace were over"}
    return {**error, "path": path} if path else error
