"""Runs agents in memory, with a virtual clock and a scripted outside, by the same machine that workers use."""

from __future__ import annotations

import heapq
import inspect
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, Final

from schemas import Event
from schemas.run import CLOSED, ENDED, RunHistoryGiven, RunSubmitted
from schemas.schedule import ScheduleRunEnded
from streams.define.agents import Agent
from streams.engine.decision import Decision, Output, Perform
from streams.engine.entry import Entry
from streams.engine.fork import assembled
from streams.engine.inbound import message_of
from streams.engine.jsonable import from_json, to_json
from streams.engine.machine import Machine
from streams.engine.messages import (
    CancelAsked,
    EffectDone,
    ErrorInfo,
    ForkAsked,
    Message,
    ResumeAsked,
    SignalArrived,
    Start,
    Submit,
    TimerFired,
)
from streams.engine.run import checked_input, current_key
from streams.engine.view import fold, history
from streams.errors import StreamsError
from streams.testing.outcomes import Call, Hang, Outcome
from streams.testing.outside import Outside

BEGINNING_MS: Final = 1_700_000_000_000  # where virtual clocks begin: 2023-11-14


class Harness:
    """A worker, a log and an outside in memory.

    `tools` answers by tool name (a function of the arguments, or a value); `model` is a chat model, a function of
    prompt and arguments, or a list of answers. `evict` drops every run from memory as soon as it waits.
    `crash_at` numbers commits (from 1) that are lost with everything in memory. `shuffle` completes effects in random
    order. `parted` commits what a worker may commit in parts in as many as there can be. Steps run as they are; time
    passes only by `advance` and `run`.
    """

    def __init__(
        self,
        *agents: Agent[Any, Any],
        tools: dict[str, Any] | None = None,
        model: Any = None,
        evict: bool = False,
        crash_at: Iterable[int] = (),
        shuffle: random.Random | None = None,
        parted: bool = False,
    ) -> None:
        self.now_ms = BEGINNING_MS
        self.agents: dict[str, Agent[Any, Any]] = {}
        self.outside = Outside(dict(tools or {}), model)
        self.evict = evict
        self.crash_at = frozenset(crash_at)
        self.shuffle = shuffle
        self.parted = parted
        self.commits = 0
        self.crashes = 0
        self.calls: list[Call] = []
        self.outputs: list[Output] = []
        self._journals: dict[str, dict[bytes, Entry]] = {}
        self._agent_of: dict[str, str] = {}
        self._machines: dict[str, Machine] = {}
        self._messages: deque[tuple[str, Message]] = deque()
        self._early: dict[str, list[Message]] = {}
        self._histories: dict[str, list[str]] = {}
        self._effects: list[tuple[str, Perform]] = []
        self._hanging: dict[tuple[str, str, int], Perform] = {}
        self._timers: list[tuple[int, int, str, str]] = []
        self._number = itertools.count(1)
        for agent in agents:
            self.register(agent)

    # what a test does

    def register(self, agent: Agent[Any, Any]) -> None:
        """Make an agent known, with all agents that its function names."""
        if self.agents.get(agent.name) is agent:
            return
        self.agents[agent.name] = agent
        for other in _named_agents(agent.fn):
            self.register(other)

    def submit(self, agent: Agent[Any, Any], input: Any = None, *, run_id: str | None = None, **fields: Any) -> str:
        """Submit a run and return its id; further fields are those of `run.submitted`."""
        self.register(agent)
        given = run_id or f"run-{next(self._number)}"
        event = RunSubmitted(run_id=given, agent=agent.name, input=checked_input(agent, input), **fields)
        self._messages.append((given, Submit(event)))
        return given

    def signal(self, run_id: str, event: Event | str, data: Any = None, *, id: str | None = None) -> None:
        """Send a signal: an event, or a name with data; the same id again is the same signal."""
        signal_id = id or f"signal-{next(self._number)}"
        name = event if isinstance(event, str) else event.event_type
        payload = to_json(data if isinstance(event, str) else event)
        self._messages.append((run_id, SignalArrived(signal_id, name, payload)))

    def cancel(self, run_id: str, reason: str = "", *, id: str | None = None) -> None:
        """Ask a run to cancel."""
        self._messages.append((run_id, CancelAsked(id or f"cancel-{next(self._number)}", reason)))

    def resume(self, run_id: str, ending: int | None = None) -> None:
        """Ask a failed run to go on."""
        self._messages.append((run_id, ResumeAsked(f"resume-{next(self._number)}", ending)))

    def fork(self, run_id: str, at: str | int, edits: dict[str, Any] | None = None) -> str:
        """Fork a run and return the new run's id."""
        new_id = f"fork-{next(self._number)}"
        self._messages.append((run_id, ForkAsked(new_id, str(at), dict(edits or {}))))
        return new_id

    def settle(self) -> None:
        """Do all that can be done without time passing."""
        while self._one():
            pass

    def advance(self, seconds: float) -> None:
        """Let time pass, timers firing on the way."""
        end = self.now_ms + int(seconds * 1000)
        self.settle()
        while self._timers and self._timers[0][0] <= end:
            self._fire()
            self.settle()
        self.now_ms = end

    def run(self, *, limit_s: float = 10 * 365 * 86400) -> None:
        """Go on until nothing is left to do, jumping from timer to timer for at most `limit_s`."""
        end = self.now_ms + int(limit_s * 1000)
        self.settle()
        while self._timers and self._timers[0][0] <= end:
            self._fire()
            self.settle()

    def crash(self) -> None:
        """Lose everything that is in memory; the next message or `settle` restores from the log."""
        self.crashes += 1
        for machine in self._machines.values():
            machine.drop()
        self._machines.clear()
        self._effects.clear()
        self._hanging.clear()
        self._timers.clear()
        for run_id in list(self._journals):
            if fold(self.entries(run_id)).status not in CLOSED:
                self._machine(run_id)

    # what a test reads

    def entries(self, run_id: str) -> list[Entry]:
        """Return the committed entries of a run, the last one of each key, in log order."""
        return sorted(self._journals.get(run_id, {}).values(), key=lambda entry: entry.seq)

    def status(self, run_id: str) -> str:
        """Return a run's status."""
        machine = self._machines.get(run_id)
        if machine is not None:
            return machine.status
        return fold(self.entries(run_id)).status

    def outcome(self, run_id: str) -> Outcome:
        """Return how a run stands."""
        entries = self.entries(run_id)
        view = fold(entries)
        agent = self.agents[self._agent_of[run_id]]
        result = from_json(view.result, agent.output_type) if view.status == "succeeded" else None
        prefix = f"{run_id}/"
        events = [out.event for out in self.outputs if out.to == "events" and out.id.startswith(prefix)]
        calls = [call for call in self.calls if call.run_id == run_id]
        return Outcome(run_id, view.status, result, view.error, view.to_json(), history(entries), events, calls)

    def records(self, to: str) -> list[Event]:
        """Return the committed records for a destination: events, runs, signals, agents, calls, dead-letters."""
        return [output.event for output in self.outputs if output.to == to]

    @property
    def run_ids(self) -> list[str]:
        """The ids of all runs that were taken in."""
        return list(self._journals)

    # how it works

    def _one(self) -> bool:
        """Do one thing; return False when there is nothing to do."""
        if self._messages and (not self._effects or self.shuffle is None or self.shuffle.random() < 0.5):
            run_id, message = self._messages.popleft()
            if not self._take_in(run_id, message):
                self._messages.appendleft((run_id, message))
            return True
        if self._effects:
            at = 0 if self.shuffle is None else self.shuffle.randrange(len(self._effects))
            self._perform(*self._effects.pop(at))
            return True
        return False

    def _take_in(self, run_id: str, message: Message) -> bool:
        """Deliver a record of the log; return False if its unit was lost, so that it is read again."""
        if isinstance(message, Submit):
            if run_id in self._journals:
                return True
            return self._submit(run_id, message)
        if run_id not in self._journals:
            self._early.setdefault(run_id, []).append(message)
            return True
        return self._deliver(run_id, message, whole=True)

    def _submit(self, run_id: str, message: Submit) -> bool:
        agent = self.agents.get(message.event.agent)
        if agent is None:
            raise StreamsError(f"agent {message.event.agent!r} is not known: pass it to Harness(...)")
        self._agent_of[run_id] = agent.name
        machine = self._machines[run_id] = self._new_machine(run_id)
        if not self._commit(run_id, machine.handle(message, self.now_ms), whole=True):
            return False
        self._messages.extendleft((run_id, early) for early in reversed(self._early.pop(run_id, [])))
        not_before = message.event.not_before_ms
        if not_before is None or not_before <= self.now_ms:
            self._deliver(run_id, Start())
        return True

    def _machine(self, run_id: str) -> Machine:
        machine = self._machines.get(run_id)
        while machine is None:
            machine = self._machines[run_id] = self._new_machine(run_id)
            self._commit(run_id, machine.restore(self.entries(run_id), self.now_ms))
            machine = self._machines.get(run_id)
            if machine is not None and machine.status == "queued" and not self._delayed(machine):
                self._messages.append((run_id, Start()))
        return machine

    def _new_machine(self, run_id: str) -> Machine:
        agent = self.agents[self._agent_of[run_id]]
        return Machine(agent, run_id, pool=agent.pool, now_ms=self.now_ms, agents=self.agents)

    def _delayed(self, machine: Machine) -> bool:
        return (machine.view().meta.get("not_before_ms") or 0) > self.now_ms

    def _deliver(self, run_id: str, message: Message, *, whole: bool = False) -> bool:
        machine = self._machine(run_id)
        sound = self._commit(run_id, machine.handle(message, self.now_ms), whole=whole)
        if sound and self.evict and machine.idle and self._machines.get(run_id) is machine:
            machine.drop()
            del self._machines[run_id]
        return sound

    def _commit(self, run_id: str, decision: Decision, *, whole: bool = False) -> bool:
        """Commit a unit and carry it out, or lose it with everything in memory."""
        pieces = decision.pieces() if self.parted and not whole else [(decision.entries, decision.outputs)]
        for entries, outputs in pieces:
            if not self._committed(run_id, entries, outputs):
                return False
        for path in decision.cancel:
            self._effects = [one for one in self._effects if one[0] != run_id or one[1].path != path]
        self._effects += [(run_id, perform) for perform in decision.perform]
        for timer in decision.timers:
            heapq.heappush(self._timers, (timer.due_ms, next(self._number), run_id, timer.path))
        return True

    def _committed(self, run_id: str, entries: list[Entry], outputs: list[Output]) -> bool:
        if entries or outputs:
            self.commits += 1
            if self.commits in self.crash_at:
                self.crash()
                return False
        journal = self._journals.setdefault(run_id, {})
        for entry in entries:
            journal[entry.key()] = entry
        for output in outputs:
            self.outputs.append(output)
            if output.to in ("agents", "signals") and not isinstance(output.event, ScheduleRunEnded):
                self._say(output.key, output.event)
        return True

    def _say(self, run_id: str, event: Event) -> None:
        """Put a record on the log; the parts of a long history wait for the submission that they belong to."""
        if isinstance(event, RunHistoryGiven):
            self._histories.setdefault(run_id, []).append(event.text)
            return
        if isinstance(event, RunSubmitted) and event.history_parts is not None:
            event = assembled(event, self._histories[run_id])
        self._messages.append((run_id, message_of(event)))

    def _fire(self) -> None:
        due, _, run_id, path = heapq.heappop(self._timers)
        self.now_ms = max(self.now_ms, due)
        hung = self._hanging.pop((run_id, path, due), None)
        if hung is not None:
            error = ErrorInfo("Timeout", f"{hung.name} took longer than {hung.timeout} s", timed_out=True)
            self._finish(run_id, hung, None, error)
        elif path == "~not_before":
            self._deliver(run_id, Start())
        elif self.status(run_id) not in ENDED or self.status(run_id) == "failed":
            self._deliver(run_id, TimerFired(path, due))

    def _perform(self, run_id: str, perform: Perform) -> None:
        self.calls.append(
            Call(
                run_id, perform.path, perform.kind, perform.name, perform.args, perform.attempt, perform.idempotency_key
            )
        )
        token = current_key.set(perform.idempotency_key)
        value, error, usage = None, None, None
        try:
            value, usage = self.outside.answer(perform)
        except Hang:
            if perform.timeout is not None:
                due = self.now_ms + int(perform.timeout * 1000)
                self._hanging[run_id, perform.path, due] = perform
                heapq.heappush(self._timers, (due, next(self._number), run_id, perform.path))
            return
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001  the effect's error is the machine's to judge
            error = ErrorInfo.of(raised, timed_out=isinstance(raised, TimeoutError))
        finally:
            current_key.reset(token)
        self._finish(run_id, perform, value, error, usage)

    def _finish(
        self, run_id: str, perform: Perform, value: Any, error: ErrorInfo | None, usage: dict[str, Any] | None = None
    ) -> None:
        message = EffectDone(
            perform.path,
            perform.resume,
            perform.attempt,
            value,
            error,
            usage,
            started_ms=self.now_ms,
            finished_ms=self.now_ms,
            encoded=perform.kind != "step",
        )
        self._deliver(run_id, message)


def run_agent(
    agent: Agent[Any, Any], input: Any = None, *, tools: dict[str, Any] | None = None, model: Any = None, **options: Any
) -> Outcome:
    """Run an agent to its end in memory and return how it ended; options are those of `Harness`."""
    harness = Harness(agent, tools=tools, model=model, **options)
    run_id = harness.submit(agent, input)
    harness.run()
    return harness.outcome(run_id)


def _named_agents(fn: Callable[..., Any]) -> list[Agent[Any, Any]]:
    """Return the agents that a function's code names, global or around it, comprehensions included."""
    found = list(inspect.getclosurevars(fn).nonlocals.values())
    codes = [fn.__code__]
    while codes:
        code = codes.pop()
        found += [fn.__globals__[name] for name in code.co_names if name in fn.__globals__]
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [value for value in found if isinstance(value, Agent)]
