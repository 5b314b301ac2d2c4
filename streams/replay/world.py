"""One run and all runs that it calls, run again in memory by the same machine that workers use.

Nothing waits: time is that of the log. What happened to a run happens to it again at its time and in its order; what is
new happens at once, timers when they are due.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.run import ENDED, RunSubmitted
from schemas.schedule import ScheduleRunEnded
from streams.clock import monotonic
from streams.engine.inbound import message_of
from streams.engine.machine import Machine
from streams.engine.messages import ChildDone, EffectDone, Message, SignalArrived, Start, Submit, TimerFired
from streams.engine.timers import NOT_BEFORE

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.decision import Decision, Output, Perform, Timer
    from streams.engine.entry import Entry
    from streams.replay.answers import AnswerSource, RecordedAnswer
    from streams.replay.run_observations import Moment, Observed

_UNRANKED: Final = 1 << 60  # at the same time, what the log knows comes before what it does not


_Queued = tuple[int, int, int, str, Message, bool]  # time, rank, number, run, message, whether it is expected


@dataclass(frozen=True, slots=True)
class Miss:
    """Something that could not be answered: `why` says what was looked for."""

    run_id: str
    path: str
    kind: str
    name: str
    why: str


@dataclass(slots=True)
class Tally:
    """What was asked of the outside in one run: answers found, and calls that were made for real."""

    recorded: int = 0
    made: int = 0


class World:
    """Runs again what `submit` is given; `observed` has what the log says of the runs, by id."""

    def __init__(
        self,
        agents: Mapping[str, Agent[Any, Any]],
        answers: AnswerSource,
        observed: Mapping[str, Observed] | None = None,
    ) -> None:
        self.machines: dict[str, Machine] = {}
        self.outputs: list[tuple[int, Output]] = []
        self.misses: list[Miss] = []
        self.tallies: dict[str, Tally] = {}
        self.now_ms = 0
        self._agents = agents
        self._answers = answers
        self._observed = observed or {}
        self._queue: list[_Queued] = []
        self._number = itertools.count()
        self._expected = 0  # messages in the queue that are more than a timer
        self._asked: dict[tuple[str, str], Perform] = {}  # attempts under way
        self._parked: list[tuple[str, Perform]] = []  # those of them that the log has no answer to
        self._early: dict[str, list[Message]] = {}
        self._awaited: dict[str, set[int]] = {}  # ranks at which runs still wait for endings of their children

    def submit(self, event: RunSubmitted, at_ms: int) -> None:
        """Queue a submission at its time (milliseconds since the epoch)."""
        observed = self._observed.get(event.run_id)
        entry = None if observed is None else observed.submitted()
        moment = (at_ms, _UNRANKED) if observed is None or entry is None else observed.moment(entry)
        self._push(moment, event.run_id, Submit(event))

    async def restore(self, run_id: str, entries: list[Entry]) -> None:
        """Bring a run back as it stood after `entries`, to go on from there with what happened to it later."""
        observed, last = self._observed.get(run_id), entries[-1]
        self.now_ms = last.recorded_ms
        machine = self._create(self._agents[last.agent], run_id)
        await self._carry(run_id, machine.restore(entries, self.now_ms))
        if observed is None:
            return
        for moment, letter in observed.letters():
            if moment[1] > last.seq:
                self._push(moment, run_id, letter)
        for entry in entries:
            if entry.kind == "call" and entry.status == "scheduled":
                self._child_is_known(run_id, entry.path, entry.output["child"])

    async def run(self) -> None:
        """Go on until nothing can happen any more, or something cannot be answered."""
        while await self.turn():
            pass

    async def turn(self) -> bool:
        """Let one thing happen; return False when nothing is left."""
        if self._parked and not (self._expected and all(self._answers.refusal(one) for _, one in self._parked)):
            return await self._settle()  # else it may have been cut short
        if not self._queue:
            return False
        at, rank, _, run_id, message, expected = self._next()
        self._expected -= expected
        if isinstance(message, ChildDone) and run_id in self._awaited:
            self._awaited[run_id].discard(rank)
        self.now_ms = max(self.now_ms, at)
        await self._deliver(run_id, message)
        return True

    def status(self, run_id: str) -> str:
        """Return a run's status; `unanswered` for one that an answer was missing for, or that waits for such a one."""
        status = self.machines[run_id].status
        return status if status in ENDED or not self.misses else "unanswered"

    def drop(self) -> None:
        """Let go of all functions that are still under way."""
        for machine in self.machines.values():
            machine.drop()

    # what happens

    def _next(self) -> _Queued:
        """Take the next message; in the same millisecond, one that does not wait for a child's ending goes first."""
        first = heapq.heappop(self._queue)
        if not self._too_early(first):
            return first
        passed = [first]
        while self._queue and self._queue[0][0] == first[0]:
            chosen = heapq.heappop(self._queue)
            if not self._too_early(chosen):
                break
            passed.append(chosen)
        else:
            chosen = passed.pop(0)
        for one in passed:
            heapq.heappush(self._queue, one)
        return chosen

    def _too_early(self, queued: _Queued) -> bool:
        """Return whether a child's ending, which is still on its way, came to the run before this.

        Ranks order what happened to one run; between runs there is only the time, and what causes what.
        """
        awaited = self._awaited.get(queued[3])
        return bool(awaited) and queued[1] != _UNRANKED and min(awaited or ()) < queued[1]

    async def _deliver(self, run_id: str, message: Message) -> None:
        if isinstance(message, Submit):
            await self._take_in(run_id, message)
            return
        machine = self.machines.get(run_id)
        if machine is None:
            self._early.setdefault(run_id, []).append(message)
            return
        if isinstance(message, EffectDone):
            asked = self._asked.get((run_id, message.path))
            if asked is None or asked.attempt != message.attempt or asked.resume != message.resume:
                return  # it was cancelled meanwhile
            del self._asked[run_id, message.path]
        if isinstance(message, TimerFired) and message.path == NOT_BEFORE:
            message = Start()
        await self._carry(run_id, machine.handle(message, self.now_ms))

    async def _take_in(self, run_id: str, message: Submit) -> None:
        event = message.event
        agent = self._agents.get(event.agent)
        if run_id in self.machines:
            return
        if agent is None:
            self._unknown(event)
            return
        machine = self._create(agent, run_id)
        await self._carry(run_id, machine.handle(message, self.now_ms))
        for early in self._early.pop(run_id, ()):
            await self._deliver(run_id, early)
        observed = self._observed.get(run_id)
        started = None if observed is None else observed.started()
        if observed is not None and started is not None:
            self._push(observed.moment(started), run_id, Start())
        elif (observed is None or not observed.ended) and (event.not_before_ms or 0) <= self.now_ms:
            self._push((self.now_ms, _UNRANKED), run_id, Start())
        for moment, letter in () if observed is None else observed.letters():
            caused = event.parent is not None and not isinstance(letter, SignalArrived)
            self._push((moment[0], _UNRANKED) if caused else moment, run_id, letter)  # after what its parent did then

    def _create(self, agent: Agent[Any, Any], run_id: str) -> Machine:
        machine = Machine(agent, run_id, pool=agent.pool, now_ms=self.now_ms)
        self.machines[run_id] = machine
        self.tallies[run_id] = Tally()
        if run_id in self._observed:
            self._awaited[run_id] = self._observed[run_id].arrival()
        return machine

    def _unknown(self, event: RunSubmitted) -> None:
        """Answer for a child whose agent is not known here, with the ending that its parent got at the time."""
        parent, path = event.parent, event.parent_path
        if parent is not None and path is not None and not self._child_is_known(parent, path, event.run_id):
            self.misses.append(Miss(parent, path, "call", event.agent, "no such agent here, and no recorded result"))

    def _child_is_known(self, parent: str, path: str, child: str) -> bool:
        """Deliver a child's ending to its parent at the time when it got it; False if the log does not know it."""
        observed = self._observed.get(parent)
        endings = [] if observed is None else observed.endings(path, child)
        for moment, done in endings:
            self._push(moment, parent, done)
        self.tallies[parent].recorded += bool(endings)
        return bool(endings)

    # what follows from it

    async def _carry(self, run_id: str, decision: Decision) -> None:
        for output in decision.outputs:
            self.outputs.append((self.now_ms, output))
            self._send(output)
        for path in decision.cancel:
            self._asked.pop((run_id, path), None)
            self._parked = [one for one in self._parked if one[0] != run_id or one[1].path != path]
        for timer in decision.timers:
            self._arm(run_id, timer)
        for perform in decision.perform:
            self._asked[run_id, perform.path] = perform
            answer = await self._answers.find(run_id, perform, self._observed.get(run_id), anywhere=False)
            if answer is None:
                self._parked.append((run_id, perform))
            else:
                self._answered(run_id, perform, answer)

    def _send(self, output: Output) -> None:
        """Deliver what runs of this world say to each other; a child's ending at the time its parent had it."""
        event: Any = output.event
        if output.to == "agents" and isinstance(event, RunSubmitted):
            self.submit(event, self.now_ms)
        elif output.to == "signals" and not isinstance(event, ScheduleRunEnded):
            message = message_of(event)
            moment = (self.now_ms, _UNRANKED)
            observed = self._observed.get(output.key)
            if observed is not None and isinstance(message, ChildDone):
                arrival = _arrival_moment(observed, message)
                moment = moment if arrival is None else _not_before(self.now_ms, arrival)
            self._push(moment, output.key, message)

    def _arm(self, run_id: str, timer: Timer) -> None:
        """Fire a timer when it fired at the time, else when it is due."""
        moment, known = (timer.due_ms, _UNRANKED), False
        observed = self._observed.get(run_id)
        entry = None if observed is None else observed.entry(timer.path, timer.resume)
        if observed is not None and entry is not None and entry.status in ("fired", "timed_out"):
            known = entry.due_ms in (None, timer.due_ms)
            moment = _not_before(timer.due_ms, observed.moment(entry)) if known else moment
        self._push(moment, run_id, TimerFired(timer.path, timer.due_ms), expected=known)

    def _answered(self, run_id: str, perform: Perform, answer: RecordedAnswer) -> None:
        tally = self.tallies[run_id]
        tally.recorded += answer.recorded
        tally.made += answer.made
        observed = self._observed.get(run_id)
        entry = None if observed is None or answer.made else observed.effect(perform)
        last = answer.error is None or answer.error.rejected
        moment: Moment = (
            self.now_ms,
            _UNRANKED if last or answer.made else 0,
        )  # what was tried again is not handed over
        finished = None
        if observed is not None and entry is not None and entry.path == perform.path and last:
            moment, finished = observed.moment(entry), entry.finished_ms
        done = EffectDone(
            perform.path,
            perform.resume,
            perform.attempt,
            answer.value,
            answer.error,
            answer.usage,
            started_ms=self.now_ms,
            finished_ms=finished or max(self.now_ms, moment[0]),
            calls=answer.calls,
            recorded=answer.recorded > 0,
            encoded=answer.encoded,
        )
        self._push(moment, run_id, done)

    async def _settle(self) -> bool:
        """Look anywhere on the log for what was not found at its place, then outside; False if that is barred."""
        asked, self._parked = self._parked, []
        missing: list[tuple[str, Perform]] = []
        for run_id, perform in asked:
            answer = await self._answers.find(run_id, perform, self._observed.get(run_id), anywhere=True)
            if answer is None:
                missing.append((run_id, perform))
            else:
                self._answered(run_id, perform, answer)
        refused = [(run_id, one, why) for run_id, one in missing if (why := self._answers.refusal(one)) is not None]
        if refused and not self._expected:
            self.misses += [Miss(run_id, one.path, one.kind, one.name, why) for run_id, one, why in refused]
            return False
        self._parked += [(run_id, one) for run_id, one, _ in refused]  # they may have been cut short
        allowed = [(run_id, one) for run_id, one in missing if self._answers.refusal(one) is None]
        began = monotonic()
        answers = await asyncio.gather(*(self._answers.make(run_id, perform) for run_id, perform in allowed))
        self.now_ms += int((monotonic() - began) * 1000) if allowed else 0
        for (run_id, perform), answer in zip(allowed, answers, strict=True):
            self._answered(run_id, perform, answer)
        return True

    def _push(self, moment: Moment, run_id: str, message: Message, *, expected: bool = True) -> None:
        self._expected += expected
        heapq.heappush(self._queue, (*moment, next(self._number), run_id, message, expected))


def _arrival_moment(observed: Observed, message: ChildDone) -> Moment | None:
    """Return when the run got that ending of its child; the log does not number successes."""
    number = 1 if message.status == "succeeded" else message.ending
    for moment, done in observed.endings(message.path, message.child_id):
        if (done.status, done.ending) == (message.status, number):
            return moment
    return None


def _not_before(at_ms: int, moment: Moment) -> Moment:
    """Return a moment of the log, at the earliest at a time, keeping its rank among what happened then."""
    return max(at_ms, moment[0]), moment[1]
