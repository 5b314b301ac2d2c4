"""The runs of one worker: the manager with its timers, the dispatcher, the key gate, and how they work together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.engine.messages import TimerFired
from streams.engine.timers import NOT_BEFORE
from streams.worker.runs.dispatcher import RunDispatcher
from streams.worker.runs.key_gate import KeyGate
from streams.worker.runs.run_hooks import RunHooks
from streams.worker.runs.run_manager import RunManager
from streams.worker.runs.run_metrics import RunMetrics
from streams.worker.runs.run_spans import RunSpans
from streams.worker.runs.run_timers import RunTimers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from streams.define.agents import Agent
    from streams.engine.decision import Decision, Timer
    from streams.engine.entry import Entry
    from streams.engine.messages import Message
    from streams.errors import StreamsError
    from streams.journal.blocked_code import BlockedCode
    from streams.journal.journal_store import JournalStore
    from streams.journal.record_writer import RecordWriter
    from streams.limits.admission import AgentAdmission
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.runtime import Runtime
    from streams.tracing import Span
    from streams.worker.runs.active_run import ActiveRun
    from streams.worker.runs.effects import EffectRunner
    from streams.worker.runs.run_index import RunIndex


class WorkerRuns(RunHooks):
    """Makes the parts that serve runs, and connects them as the manager's hooks."""

    def __init__(
        self,
        agents: dict[str, Agent[Any, Any]],
        runtime: Runtime,
        journal: JournalStore,
        writer: RecordWriter,
        *,
        named: Mapping[str, Agent[Any, Any]],
        effects: EffectRunner,
        admission: AgentAdmission,
        index: RunIndex,
        blocked: BlockedCode,
        export: Callable[[Span], None] | None,
    ) -> None:
        """Serve `agents` of the pool that `writer` writes for; runs may call those in `named`, of other pools too."""
        self._index = index
        self._blocked = blocked
        self.metrics = RunMetrics()
        self._spans = RunSpans(export)
        self.timers = RunTimers(self._fire)
        self.manager = RunManager(
            agents=agents,
            pool=writer.pool,
            journal=journal,
            writer=writer,
            committer=runtime.committer,
            effects=effects,
            timers=self.timers,
            refusals=runtime.refusals,
            named=named,
            hooks=self,
        )
        self.dispatcher = RunDispatcher(agents, self.manager.start, admission, runtime.tasks.spawn)
        self.key_gate = KeyGate(agents, self.dispatcher, self.manager, writer, runtime.committer)

    def rested(self, live: ActiveRun) -> None:
        """Free the place of a run that waits or has ended."""
        self.dispatcher.rested(live)

    def woke(self, live: ActiveRun) -> None:
        """Count a run that goes on."""
        self.dispatcher.woke(live)

    def changed(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Write the run's row with the decision."""
        self._index.changed(live, unit)

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        """Count the decision, and export the spans that it ends."""
        self.metrics.decided(live, decision)
        self._spans.decided(live, decision)

    def found(self, live: ActiveRun, entries: Iterable[Entry]) -> None:
        """Note what the run was counted for."""
        self.metrics.found(live, entries)

    def ended(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Free the run's lock, and forget what it has blocked."""
        self.key_gate.ended(live, unit)
        self._blocked.run_ended(live.run_id, unit)

    def refusal(self, owned: PartitionAssignment, run_id: str) -> StreamsError | None:
        """Return the error of a run whose code has blocked workers too often."""
        return self._blocked.refuses_run(owned, run_id)

    def holds_back(self, live: ActiveRun, message: Message, unit: CommitUnit | None) -> bool:
        """Return whether a resume has to get its lock first."""
        return self.key_gate.holds_back(live, message, unit)

    def _fire(self, owned: PartitionAssignment, run_id: str, timer: Timer) -> None:
        live = self.manager.find(owned, run_id)
        if live is None:
            return
        if timer.path == NOT_BEFORE:
            self.key_gate.enqueue(owned, live.machine.journal.view)
        else:
            self.manager.send_message(live, TimerFired(timer.path, timer.due_ms))
