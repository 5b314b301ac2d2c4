"""The run manager: passes messages to the machines of runs and writes their decisions to the log.

One decision is one unit, a very large one several in order. An effect starts only when every earlier entry of its run
is committed, its assignment lives and the worker has proven lately that it owns the partition; what has no effect goes
on at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from schemas.call import CallRecorded
from schemas.dead import DeadLettered
from schemas.errors import SchemaError
from schemas.run import RunSubmitted
from streams import clock
from streams.activity import BOARD, label
from streams.engine.decision import Decision, Output, Perform
from streams.engine.machine import Machine
from streams.engine.messages import EffectDone, ErrorInfo, Message, Start
from streams.errors import StreamsError
from streams.journal.errors import RunExpiredError
from streams.limits.budget_client import Spender
from streams.model.repeats import Repeats
from streams.runtime.commit_unit import CommitUnit
from streams.user_code import cancel, outside_tasks
from streams.worker.runs.active_run import ActiveRun
from streams.worker.runs.decision_units import DecisionUnits
from streams.worker.runs.run_hooks import RunHooks
from streams.worker.runs.run_trace import entry_context

if TYPE_CHECKING:
    from schemas import Event
    from streams.define.agents import Agent
    from streams.journal.journal_store import JournalStore
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer
    from streams.worker.runs.effects import EffectRunner
    from streams.worker.runs.run_timers import RunTimers

_RESTING_IN_MEMORY: Final = 2_000  # waiting runs whose machines stay
_QUEUED_IN_MEMORY: Final = 10_000  # queued runs beyond that are read back from their journal when their turn comes


class RunManager:
    """All runs in memory of one worker."""

    def __init__(
        self,
        *,
        agents: dict[str, Agent[Any, Any]],
        pool: str,
        journal: JournalStore,
        writer: RecordWriter,
        committer: Committer,
        effects: EffectRunner,
        timers: RunTimers,
        refusals: dict[tuple[int, str], Exception],
        named: Mapping[str, Agent[Any, Any]] | None = None,
        hooks: RunHooks | None = None,
    ) -> None:
        """Serve `agents`; `refusals` are the runs whose decision the broker refused, by partition.

        `named` are those that runs may call by name, of other pools too; without it those that are served. `hooks` take
        part in what happens to runs.
        """
        self._agents = agents
        self._named = agents if named is None else named
        self._pool = pool
        self._journal = journal
        self._writer = writer
        self._committer = committer
        self._effects = effects
        self._timers = timers
        self._refusals = refusals
        self.live: dict[tuple[PartitionAssignment, str], ActiveRun] = {}
        self._resting: OrderedDict[tuple[PartitionAssignment, str], ActiveRun] = OrderedDict()
        self._hooks = hooks or RunHooks()

    def create(self, owned: PartitionAssignment, run_id: str, agent: Agent[Any, Any]) -> ActiveRun:
        """Make the machine of a new run."""
        live = ActiveRun(
            owned, run_id, Machine(agent, run_id, pool=self._pool, now_ms=clock.now_ms(), agents=self._named)
        )
        self.live[owned, run_id] = live
        return live

    def find(self, owned: PartitionAssignment, run_id: str) -> ActiveRun | None:
        """Return the run, restored from its journal if it is not in memory; None if it is not known here."""
        live = self.live.get((owned, run_id))
        if live is not None:
            return live
        if self._journal.is_expired(owned, run_id):
            return None
        entries = self._journal.entries(owned, run_id)
        agent = self._agents.get(entries[0].agent) if entries else None
        if agent is None:
            return None
        live = self.create(owned, run_id, agent)
        self._hooks.found(live, entries)
        refusal = self._refusals.pop((owned.partition, run_id), None)
        blocked = self._hooks.refusal(owned, run_id)
        if blocked is None:
            self._carry(live, self._turn(live, live.machine.restore, entries), None)
        else:
            self._carry(live, live.machine.restore_failed(entries, blocked, clock.now_ms()), None)
        if refusal is not None:
            self._carry(live, live.machine.fail(refusal, clock.now_ms()), None)
        return live

    def is_live(self, owned: PartitionAssignment, run_id: str) -> bool:
        """Return whether a run has its machine in memory."""
        return (owned, run_id) in self.live

    def unserved(self, owned: PartitionAssignment, run_id: str) -> bool:
        """Return whether the run is here and belongs to an agent that this worker's code does not have."""
        if (owned, run_id) in self.live:
            return False
        known = None if self._journal.is_expired(owned, run_id) else self._journal.known(owned, run_id)
        return known is not None and known.agent not in self._agents

    def commit(self, unit: CommitUnit) -> None:
        """Hand a unit over that has messages for runs."""
        self._committer.add(unit)

    def require_history(self, owned: PartitionAssignment, run_id: str) -> None:
        """Raise RunExpiredError for a run whose history was deleted: nothing may start it again."""
        if self._journal.is_expired(owned, run_id):
            raise RunExpiredError(f"run {run_id} ended and its history was deleted after STREAMS_HISTORY_DAYS")

    def revive(self, owned: PartitionAssignment, run_id: str) -> None:
        """Go on with a run that was under way when its partition came here."""
        live = self.find(owned, run_id)
        if live is not None:
            self._tidy(live, ended=False)

    def send_message(self, live: ActiveRun, message: Message, unit: CommitUnit | None = None) -> None:
        """Send a message to the machine; its decision joins `unit` or becomes a unit of its own."""
        if not live.assignment.live or self._hooks.holds_back(live, message, unit):
            return
        try:
            self.carry(live, self._turn(live, live.machine.handle, message), unit)
        except (StreamsError, SchemaError) as error:
            self._refused(live, message, error, unit)

    def _refused(self, live: ActiveRun, message: Message, error: Exception, unit: CommitUnit | None) -> None:
        """Make what could not be recorded (too large, no JSON) the failure of the step that gave it, or of the run.

        The machine has gone on already, so it is made anew from what is recorded.
        """
        self.discard(live)
        again = self.find(live.assignment, live.run_id)
        if again is None:
            return
        if isinstance(message, EffectDone) and message.error is None:
            info = ErrorInfo.of(error)
            info.rejected = True
            failed = EffectDone(message.path, message.resume, message.attempt, error=info, usage=message.usage)
            failed.calls, failed.also = message.calls, message.also
            self.send_message(again, failed, unit)
        else:
            self.carry(again, again.machine.fail(error, clock.now_ms()), unit)

    def discard(self, live: ActiveRun) -> None:
        """Forget a machine that has gone astray, with what it was doing."""
        for task in live.tasks.values():
            cancel(task)
        live.tasks.clear()
        self._evict(live)

    def start(self, owned: PartitionAssignment, run_id: str) -> None:
        """Begin a queued run: its agent has a free place."""
        live = self.find(owned, run_id)
        if live is None:
            return
        blocked = self._hooks.refusal(owned, run_id)
        if blocked is None:
            self.send_message(live, Start())
        else:
            self.carry(live, live.machine.fail(blocked, clock.now_ms()))

    def _turn(self, live: ActiveRun, turn: Callable[[Any, int], Decision], given: Any) -> Decision:
        """Let the run's function go on, for everybody who looks at the event loop from outside to see."""
        text = label("run", live.assignment.partition, live.run_id, live.agent.name)
        return BOARD.during(text, outside_tasks, turn, given, clock.now_ms())

    def carry(self, live: ActiveRun, decision: Decision, unit: CommitUnit | None = None) -> None:
        """Write what was decided and start what is to be performed; the machine goes when it has nothing under way."""
        self._carry(live, decision, unit)
        self._tidy(live, ended=decision.ended is not None)

    def _carry(self, live: ActiveRun, decision: Decision, unit: CommitUnit | None) -> None:
        if decision.entries or decision.outputs:
            self._record(live, decision, unit)
        self._timers.settle(live.assignment, live.run_id, decision.entries, ended=decision.ended is not None)
        for timer in decision.timers:
            self._timers.add(live.assignment, live.run_id, timer)
        for path in decision.cancel:
            if (task := live.tasks.pop(path, None)) is not None:
                cancel(task)
        for perform in decision.perform:
            self._arrange(live, perform)
        decision.outputs.clear()  # the machine keeps its last decision: thousands wait, and these are on their way
        decision.perform.clear()

    def _record(self, live: ActiveRun, decision: Decision, unit: CommitUnit | None) -> None:
        """Put a decision into its unit or, if it is a large one of its own, into several that are committed in order.

        Whole or not at all: what cannot be sent raises before a row is written.
        """
        parts = DecisionUnits(live.assignment, unit)
        try:
            for entries, outputs in decision.pieces():
                target = parts.next()
                if entries:
                    parts.rows(target, [self._journal.encode(entry) for entry in entries])
                for output in outputs:
                    send_output(self._writer, target, output, live)
            if decision.ended is not None:
                self._hooks.ended(live, parts.last)
        except (StreamsError, SchemaError):
            parts.rollback()
            raise
        live.last = parts.write()
        self._hooks.changed(live, live.last)
        self._hooks.decided(live, decision)
        if unit is None:
            for part in parts.units:
                part.culprit = live.run_id
                self._committer.add(part)
        else:
            unit.culprit = None

    def _arrange(self, live: ActiveRun, perform: Perform) -> None:
        """Start an effect now or at the commit that it waits for."""
        if perform.pure:
            self._perform(live, perform)
        elif live.last is not None and not live.last.committed:
            live.last.on_commit.append(lambda: self._when_proven(live, perform))
        else:
            self._when_proven(live, perform)

    def _when_proven(self, live: ActiveRun, perform: Perform) -> None:
        """Let a transaction go first if the last accepted one is so old that we may have lost the partition."""
        if self._committer.proven():
            self._perform(live, perform)
            return
        proof = CommitUnit(live.assignment)
        proof.on_commit.append(lambda: self._perform(live, perform))
        self._committer.add(proof)

    def _perform(self, live: ActiveRun, perform: Perform) -> None:
        owned = live.assignment
        if owned.live and not owned.draining and self.live.get((owned, live.run_id)) is live:
            if live.spender is None:
                view = live.machine.journal.view
                live.spender = Spender.of(live.agent, live.run_id, view.input, view.meta)
            live.tasks[perform.path] = self._effects.start(
                live.spender, perform, lambda done: self._performed(live, perform, done), owned.partition
            )

    def _performed(self, live: ActiveRun, perform: Perform, done: EffectDone) -> None:
        live.tasks.pop(perform.path, None)
        if perform.kind == "llm" and done.calls:
            live.repeats = live.repeats or Repeats()
            done.calls = [call_shortened(live.repeats, call) for call in done.calls]
        self.send_message(live, done)

    def _tidy(self, live: ActiveRun, *, ended: bool) -> None:
        """Release the permit and drop the machine when nothing is under way."""
        status = live.machine.status
        if ended or status == "waiting":
            self._hooks.rested(live)
        elif status == "running":
            self._hooks.woke(live)
        if live.tasks or not live.machine.idle or status == "running":
            self._resting.pop((live.assignment, live.run_id), None)
        elif ended or (status == "queued" and len(self.live) > _QUEUED_IN_MEMORY):
            self._evict(live)
        else:
            self._rest(live)

    def _rest(self, live: ActiveRun) -> None:
        """Keep a waiting machine for what may come soon (a parent's next child), the oldest go first."""
        self._resting[live.assignment, live.run_id] = live
        self._resting.move_to_end((live.assignment, live.run_id))
        while len(self._resting) > _RESTING_IN_MEMORY:
            self._evict(next(iter(self._resting.values())))

    def _evict(self, live: ActiveRun) -> None:
        """Forget the machine; its entries, also uncommitted ones, bring it back."""
        self._resting.pop((live.assignment, live.run_id), None)
        if self.live.get((live.assignment, live.run_id)) is live:
            del self.live[live.assignment, live.run_id]
            self._hooks.rested(live)  # a place must not be held by what is gone
            live.machine.drop()

    def forget(self, owned: PartitionAssignment) -> None:
        """Drop all runs of a dead assignment; what they were doing is cancelled and none of it will count."""
        for (where, _), live in list(self.live.items()):
            if where is owned:
                for task in live.tasks.values():
                    cancel(task)
                live.tasks.clear()
                self._evict(live)


def call_shortened(repeats: Repeats, call: Event) -> Event:
    """Return the record of a call without what the log has of it already."""
    if not isinstance(call, CallRecorded):
        return call
    return call.model_copy(update={"request": repeats.shortened(call.hash, call.request)})


def send_output(writer: RecordWriter, unit: CommitUnit, output: Output, live: ActiveRun) -> None:
    """Add what a run writes to its unit, with what the machine does not know: its partition, and its trace."""
    event, trace = output.event, live.trace
    if isinstance(event, DeadLettered):
        output.event = event.model_copy(update={"source_partition": live.assignment.partition})
    elif isinstance(event, RunSubmitted):
        if event.parent == live.run_id and event.parent_path is not None:
            trace = entry_context(trace, live.run_id, event.parent_path)
        output.event = event.model_copy(update={"traceparent": trace.header})
    writer.send(unit, output, trace.header)
