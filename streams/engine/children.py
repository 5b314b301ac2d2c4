"""Calls of other agents: a child run on its own queue, whose submission is one unit with the parent's entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from schemas.run import RunSubmitted
from schemas.signal import CancelRequested, ResumeRequested
from streams.engine.decision import Output
from streams.engine.driver import Driver, MarkOp, TimedOp
from streams.engine.ids import child_id
from streams.engine.jsonable import digest, from_json, shown
from streams.errors import ChildCancelled, ChildFailed, TimedOut

if TYPE_CHECKING:
    from schemas import Event
    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.engine.messages import ChildDone

T = TypeVar("T")


class CallOp(TimedOp[T]):
    """Submits a child and waits for its ending; on a resume the failed child is resumed, not started anew."""

    __slots__ = ("agent", "child", "ending", "input", "priority")
    kind = "call"

    def __init__(
        self, driver: Driver, agent: Agent[Any, T], input: Any, *, timeout: float | None, priority: str | None
    ) -> None:
        super().__init__(driver, agent.name, timeout)
        self.agent = agent
        self.input = input
        self.priority = priority
        self.digest = digest(agent.name, input)
        self.child = ""
        self.ending = 1

    def schedule(self) -> None:
        """Record the call and submit the child, or ask a child that failed before to go on."""
        super().schedule()
        journal = self.driver.journal
        voided = journal.voided.get(self.path)
        failed = voided.error if voided is not None and voided.kind == self.kind else None
        if failed and failed.get("status") == "failed":
            self.child, self.ending = failed["child"], failed["ending"] + 1
            self._resume_child()
        else:
            self.child = child_id(journal.run_id, self.path, self.resume)
            self._submit_child()
        output = {"child": self.child, "ending": self.ending}
        self.append("scheduled", input=shown(self.input), output=output, due_ms=self.due_ms)

    def activate(self) -> None:
        """Wait for the child: its ending may already be in the inbox."""
        if self.record is not None:
            self.child, self.ending = self.record.output["child"], self.record.output["ending"]
            self.load(self.record)
        known = self.driver.children.get(self.child)
        if known is not None and known.attempt >= self.ending:
            self._end(known.error or {"status": "succeeded"}, known.output, known.usage, known.attempt)
        else:
            self.arm()

    def ended(self, message: ChildDone) -> bool:
        """Record the child's ending, if it is the awaited one; return whether it was."""
        if message.child_id != self.child or message.ending < self.ending:
            return False
        self._end({**(message.error or {}), "status": message.status}, message.result, message.usage, message.ending)
        return True

    def fired(self, due_ms: int) -> None:
        """Record that the time is over and cancel the child."""
        if due_ms != self.due_ms:
            return
        self._cancel_child("its caller no longer waits")
        child = {"child": self.child}
        self.decide("timed_out", input=child, error={"status": "timed_out"} | child)

    def outcome(self, entry: Entry) -> None:
        """Set the child's result as the agent's output type, or raise what became of it."""
        if entry.status == "completed":
            self.value = from_json(entry.output, self.agent.output_type)
            return
        if entry.status == "timed_out":
            self.error = TimedOut(
                f"{self.name} did not end within {self.timeout or 0:g} s",
                path=self.path,
                name=self.name,
                type="TimedOut",
            )
            return
        error = entry.error or {}
        kind = ChildCancelled if error.get("status") == "cancelled" else ChildFailed
        self.error = kind(
            f"{self.name} {error.get('status')}: {error.get('message') or error.get('reason') or 'no message'}",
            path=self.path,
            name=self.name,
            type=error.get("type", ""),
            child=error.get("child", ""),
        )

    def abandon(self) -> None:
        """Settle the path and ask the child to cancel."""
        if not self.driver.journal.replaying:
            self._cancel_child("its caller was interrupted")
            self.append("cancelled", input={"child": self.child})

    def release(self) -> None:
        """Ask the child to cancel, because the run is over."""
        self._cancel_child("its caller has ended")

    def _end(self, error: dict[str, Any], result: Any, usage: Any, ending: int) -> None:
        child = {"child": self.child}
        if error.get("status") == "succeeded":
            self.decide("completed", input=child, output=result, usage=usage)
        else:
            self.decide("failed", input=child, error=error | child | {"ending": ending}, usage=usage)

    def _submit_child(self) -> None:
        submit(
            self.driver, self.agent, self.child, self.input, path=self.path, due_ms=self.due_ms, priority=self.priority
        )

    def _resume_child(self) -> None:
        request = self._request_id()
        event = ResumeRequested(run_id=self.child, request_id=request, ending=self.ending - 1)
        self._signal_child(event, f"{request}/resume")

    def _cancel_child(self, reason: str) -> None:
        request = self._request_id()
        event = CancelRequested(run_id=self.child, request_id=request, reason=reason)
        self._signal_child(event, f"{request}/cancel")

    def _request_id(self) -> str:
        return f"{self.driver.journal.run_id}/{self.path}/{self.resume}"

    def _signal_child(self, event: Event, id: str) -> None:
        output = Output("signals", event, id, self.child, self.agent.name, self.agent.pool)
        self.driver.journal.decision.outputs.append(output)


class StartOp(MarkOp[str]):
    """Submits a run and does not wait for it; returns its id."""

    __slots__ = ("agent", "input", "not_before_ms", "priority")
    kind = "start"

    def __init__(
        self,
        driver: Driver,
        agent: Agent[Any, Any],
        input: Any,
        *,
        priority: str | None,
        delay: float | None,
    ) -> None:
        super().__init__(driver, agent.name)
        self.agent = agent
        self.input = input
        self.priority = priority
        self.not_before_ms = None if delay is None else int(delay * 1000)
        self.digest = digest(agent.name, input)

    def begin(self) -> bool:
        """Submit, unless that is recorded; nothing is waited for."""
        super().begin()
        if self.record is not None:
            self.value = self.record.output
        return False

    def schedule(self) -> None:
        """Submit and record the new run's id."""
        journal = self.driver.journal
        self.value = child_id(journal.run_id, self.path, self.resume)
        not_before = None if self.not_before_ms is None else journal.now_ms + self.not_before_ms
        submit(
            self.driver,
            self.agent,
            self.value,
            self.input,
            path=None,
            due_ms=None,
            priority=self.priority,
            not_before_ms=not_before,
        )
        self.append("completed", input=shown(self.input), output=self.value)


def submit(
    driver: Driver,
    agent: Agent[Any, Any],
    run_id: str,
    input: Any,
    *,
    path: str | None,
    due_ms: int | None,
    priority: str | None,
    not_before_ms: int | None = None,
) -> None:
    """Put a submission into this turn's unit; a child that is waited for (`path`) inherits the deadline."""
    journal = driver.journal
    meta = journal.view.meta
    deadline = meta.get("deadline_ms") if path is not None else None
    if due_ms is not None:
        deadline = due_ms if deadline is None else min(deadline, due_ms)
    inherited = meta.get("priority", "default")
    event = RunSubmitted.model_construct(
        run_id=run_id,
        agent=agent.name,
        input=input,
        priority=priority or (inherited if inherited != "default" else agent.priority),
        deadline_ms=deadline,
        not_before_ms=not_before_ms,
        parent=journal.run_id,
        parent_path=path,
        parent_pool=journal.pool,
        caller=meta.get("caller"),
        idempotency_key=None,
        forked_from=None,
        history=None,
        root=meta.get("root") or journal.run_id,
        history_parts=None,
        root_agent=meta.get("root_agent") if meta.get("root") else journal.view.agent,
    )
    journal.decision.outputs.append(Output("agents", event, f"{run_id}/submitted/0", run_id, agent.name, agent.pool))
