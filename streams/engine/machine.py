"""The machine of one run: messages in, decisions out. The worker and the tests carry out the same decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from schemas.run import CLOSED, ENDED, RunStarted
from streams.engine.children import CallOp
from streams.engine.deadlines import Clocked
from streams.engine.decision import Decision, Output, Timer
from streams.engine.driver import Driver
from streams.engine.effects import EffectOp
from streams.engine.ending import describe
from streams.engine.entry import DEADLINE, END, INBOX, LATE, RESUME, STARTED, SUBMITTED, Entry
from streams.engine.fork import fork_records, forked_entries
from streams.engine.jsonable import digest, to_json
from streams.engine.marks import arm
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
from streams.engine.timers import NOT_BEFORE
from streams.engine.waits import SleepOp, WaitOp
from streams.errors import ForkError

_META = (
    "parent",
    "parent_path",
    "parent_pool",
    "root",
    "root_agent",
    "priority",
    "not_before_ms",
    "caller",
    "forked_from",
    "schedule",
)


class Machine(Clocked):
    """Turns what happens to a run into entries, outputs, effects and timers. Pure: no I/O, no clock, no loop.

    One decision is one unit; the units of a run are to be committed in order. Drop a machine with `drop` at any time
    and bring the run back with `restore` from its committed entries.
    """

    __slots__ = ()

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
        self._signals = {entry.path.removeprefix(INBOX) for entry in journal.entries if entry.path.startswith(INBOX)}
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
        self._driver = Driver(journal)
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
        deadline = event.deadline_ms
        if self.agent.deadline is not None:
            own = journal.now_ms + int(self.agent.deadline * 1000)
            deadline = own if deadline is None else min(own, deadline)
        meta = {name: value for name in _META if (value := getattr(event, name)) is not None}
        if deadline is not None:
            meta["deadline_ms"] = deadline
        journal.append(
            SUBMITTED,
            "submitted",
            event.agent,
            status="submitted",
            digest=submission_digest(event.agent, event.input),
            input=event.input,
            output=meta,
            due_ms=deadline,
        )
        for entry in forked_entries(event.history or [], journal):
            journal.adopt(entry)
            if entry.path.startswith(INBOX):
                self._signals.add(entry.path.removeprefix(INBOX))
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
        journal, new_id = self.journal, message.new_run_id
        path, asked = f"~fork/{new_id}", {"at": message.at}
        try:
            events = fork_records(journal.entries, message)
        except ForkError as error:  # the wish is wrong, the run is not
            journal.append(path, "fork", new_id, status="failed", input=asked, error={"message": str(error)})
            return
        journal.append(path, "fork", new_id, input=asked)
        for number, event in enumerate(events):
            last = number == len(events) - 1
            event_id = f"{new_id}/submitted/0" if last else f"{new_id}/history/{number}"
            journal.decision.outputs.append(Output("agents", event, event_id, new_id, self.agent.name, self.agent.pool))

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


def submission_digest(agent: str, input: Any) -> str:
    """Return the digest that tells a repeated submission from one with another agent or input."""
    return digest(agent, input)
