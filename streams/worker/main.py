"""A worker process: assembled from settings, run until SIGTERM, drained, gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from schemas.errors import SchemaError
from streams import clock, telemetry
from streams.app import Catalog, discover
from streams.engine.messages import TimerFired
from streams.engine.timers import NOT_BEFORE
from streams.errors import StreamsError
from streams.journal.blocked_code import BlockedCode
from streams.journal.dead_letters import dead_letter, taker_of
from streams.journal.expiry_index import by_time
from streams.journal.journal_store import JournalStore
from streams.journal.record_writer import RecordWriter
from streams.journal.store_keys import BLOCKED_CODE, LEDGER
from streams.limits.admission import AgentAdmission
from streams.limits.budget_client import BudgetClient
from streams.limits.budget_homes import BudgetHomes
from streams.limits.holders import Holder
from streams.limits.key_homes import KeyHomes
from streams.limits.limits import WorkerLimits
from streams.model.model_from_settings import chat_model
from streams.query.cluster import check_worker, cluster_secret, secured
from streams.query.codec import codec_of
from streams.query.wire import Wire
from streams.runtime import process_memory, worker_slots
from streams.runtime.batch import RecordBatch
from streams.runtime.faust.app import App, end_process, end_within, quiet_faust
from streams.runtime.group_members import GroupMembers
from streams.runtime.loop_monitor import LoopMonitor
from streams.runtime.membership import MembershipWatch
from streams.runtime.queue_lookup import QueueLookup
from streams.runtime.runtime import Runtime, RuntimeSettings
from streams.runtime.standby_placement import StandbyPlacement
from streams.runtime.store_index import StoreSpec
from streams.runtime.watchdog import LoopLagWatch, StallWatch
from streams.serving.hosts import LOCAL_HOSTS, is_loopback
from streams.tables.runs import runs
from streams.tools._threads import SHARED
from streams.user_code import user_code_exit
from streams.worker import worker_metrics
from streams.worker.alarms import AlertWriter
from streams.worker.events.catch_up import CatchUp, reading
from streams.worker.events.event_bus import EventBus
from streams.worker.events.table_folds import TableFolds
from streams.worker.faust_app import build
from streams.worker.handler_threads import HandlerThreads
from streams.worker.heartbeat import Heartbeat
from streams.worker.http.agents import AgentPages
from streams.worker.http.app import Server, application
from streams.worker.http.approvals import ApprovalPages
from streams.worker.http.budgets import BudgetPages
from streams.worker.http.cluster_guard import ClusterGuard
from streams.worker.http.limits import LimitPages
from streams.worker.http.ownership_check import OwnershipCheck
from streams.worker.http.run_list import RunListPages
from streams.worker.http.runs import RunPages
from streams.worker.http.schedules import SchedulePages
from streams.worker.http.tables import TablePages
from streams.worker.reactions.flood_guard import FloodGuard
from streams.worker.reactions.lanes import ReactionLanes
from streams.worker.readiness import missing
from streams.worker.runs.dispatcher import RunDispatcher
from streams.worker.runs.effects import EffectRunner
from streams.worker.runs.intake import RunIntake
from streams.worker.runs.key_gate import KeyGate
from streams.worker.runs.ledger_sweep import LedgerSweep
from streams.worker.runs.local_intake import LocalIntake
from streams.worker.runs.model_caller import ModelCaller
from streams.worker.runs.queue_pauses import QueuePauses
from streams.worker.runs.redrive import DeadLetterRedrive
from streams.worker.runs.run_index import RunIndex
from streams.worker.runs.run_manager import RunManager
from streams.worker.runs.run_recovery import RunRecovery
from streams.worker.runs.run_timers import RunTimers
from streams.worker.runs.signals import SignalHandler
from streams.worker.runs.token_buffer import TokenBuffer
from streams.worker.schedules.schedule_metrics import ScheduleMetrics
from streams.worker.schedules.schedule_runner import ScheduleDependencies
from streams.worker.schedules.schedules import OwnedSchedules
from topics.errors import TopicError
from topics.names import Names
from topics.producer import EventProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.decision import Timer
    from streams.model.chat import ChatModel
    from streams.model.roles import RoledModel
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit
    from streams.settings import Settings
    from streams.worker.runs.run_manager import ActiveRun

log = logging.getLogger(__name__)

_LEAVE_S: Final = 20.0  # for draining and leaving; a broker that is away must not hold a worker that is told to go
_LEASE_S: Final = 3.0  # longer than any call may take
_FLUSH_S: Final = 1.0  # all that may still be under way is a heartbeat
_TEARDOWN_S: Final = 2.0  # for what is left when all is drained: threads that still wait for an answer of the broker


def run(settings: Settings, pool: str, slot: str | None, probe: Callable[[str], None] = lambda _stage: None) -> None:
    """Run one worker of `pool` in `slot` until SIGTERM or SIGINT; ends the process with status 3 on a fatal error.

    `probe` is told each stage of work, so that fault tests can end the process there.
    """
    check_worker(settings)
    settings = secured(settings)
    telemetry.configure(settings)
    process_memory.settle()
    taken = worker_slots.take(settings.state_dir, pool, slot)
    worker = Worker(settings, discover(settings.apps), pool, taken, probe)
    try:
        with asyncio.Runner() as runner:
            try:
                runner.run(worker.serve())
            except Exception:
                raise
            except BaseException as error:  # noqa: BLE001
                # The event loop is dead, and with it all that could leave the group: the process must not live on.
                worker.crash(user_code_exit(error))
    finally:
        taken.close()


class Worker:
    """The parts of a worker and how they hang together."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        pool: str,
        slot: worker_slots.WorkerSlot,
        probe: Callable[[str], None] = lambda _stage: None,
    ) -> None:
        """Assemble for the agents and tables that are mapped to `pool`; `probe` is told each stage of work."""
        self._settings = settings
        self._pool = pool
        self._slot = slot
        self._agents = {name: agent for name, agent in catalog.agents.items() if agent.pool == pool}
        self._kafka = settings.kafka()
        self._names = names = Names(settings.topic_prefix)
        codec = codec_of(settings, catalog)
        self._codec = codec
        self._journal = JournalStore(codec)
        self._writer = RecordWriter(names, codec, catalog.events, pool)
        tables = [table for table in catalog.tables.values() if table.of_runs or table.pool == pool]
        self._run_index = run_index = RunIndex(codec, self._agents)
        self._folds = TableFolds(tables, names, codec, pool, {runs.name: run_index.index})
        group = names.topic(f"streams.{pool}")
        self._holder = holder = Holder(pool, slot.identity, clock.now_ms())
        self._members = GroupMembers(self._kafka.client())
        self._runtime = Runtime(
            RuntimeSettings(
                client=self._kafka.client() | {"log_level": 2},
                group=group,
                slot=slot.identity,
                client_id=str(holder),
                folder=slot.folder / "stores",
                ledger=StoreSpec(LEDGER, names.journal(pool), by_time(codec)),
                subscription=names.signals,
                stores=self._folds.specs,
                standbys=settings.standbys,
                slow=frozenset(names.agents(name) for name in self._agents),
                probe=probe,
                rows=run_index.rows,
                busy=lambda: self._effects.computing > 0,
            ),
            crash=self.crash,
        )
        self._model: RoledModel | None = None
        wire = Wire(cluster_secret(settings))
        self._limits = WorkerLimits(self._runtime, holder, codec, catalog.tools.values(), wire)
        self._tokens = TokenBuffer()
        self._budgets = BudgetHomes(self._runtime, self._limits.peers, self._writer, pool, days=settings.history_days)
        budget_client = BudgetClient(
            settings.budgets,
            self._ask_budget,
            self._runtime.tasks.spawn,
            lease=settings.llm_total_timeout + _LEASE_S,
            agents=catalog.agents,
        )
        self._effects = EffectRunner(
            self._runtime.tasks,
            ModelCaller(self._chat, budget_client, self._tokens, self._limits.shared_calls),
            self._limits.guard,
            budget_client,
            probe,
        )
        self._timers = RunTimers(self._fire)
        self._probe = probe
        self._manager = RunManager(
            agents=self._agents,
            pool=pool,
            journal=self._journal,
            writer=self._writer,
            committer=lambda: self._runtime.committer,
            effects=self._effects,
            timers=self._timers,
            refusals=lambda: self._runtime.refusals,
            named=catalog.agents,
        )
        self._runtime.keep_rejected = self._keep_rejected
        self._dispatcher = RunDispatcher(
            self._agents,
            self._manager.start,
            AgentAdmission(self._limits.rate_limits, self._limits.semaphores),
            self._runtime.tasks.spawn,
        )
        self._key_gate = KeyGate(
            self._agents, self._dispatcher, self._manager, self._writer, lambda: self._runtime.committer
        )
        self._keys = KeyHomes(self._agents, self._writer, lambda: self._runtime.committer, pool)
        self._pauses = QueuePauses(self._agents, self._dispatcher, self._writer, pool, lambda: self._runtime.partitions)
        self._manager.on_change = run_index.changed
        self._blocked = BlockedCode()
        self._manager.on_end, self._manager.refuses = self._ended, self._blocked.refuses_run
        self._manager.holds_back = self._key_gate.holds_back
        self._manager.on_rest, self._manager.on_wake = self._dispatcher.rested, self._dispatcher.woke
        self._lanes = ReactionLanes(
            self._runtime.tasks, self._writer, lambda: self._runtime.committer, FloodGuard(settings.flood_threshold)
        )
        self._lanes.blocked = self._blocked
        seen = catalog if pool == "default" else replace(catalog, reactions={})  # reactions are the default pool's
        bus = EventBus(seen, self._folds, self._lanes, self._writer)
        self._bus = bus if pool == "default" or self._folds.events else None
        parts = ScheduleDependencies(self._runtime.tasks, self._writer, lambda: self._runtime.committer)
        self._schedules = (
            OwnedSchedules(catalog.schedules, self._runtime, parts, self._kafka) if pool == "default" else None
        )
        self._queued = QueueLookup(
            self._kafka.client() | {"log_level": 2}, group, list(map(names.agents, self._agents)), self._runtime.tasks
        )
        self._app = self._build()
        self._watch, self._stall, self._membership, self._handlers = (
            LoopLagWatch(),
            StallWatch(self._runtime, self.crash),
            MembershipWatch(self._runtime, self.crash),
            HandlerThreads(SHARED, settings.threads_held_after, self.crash),
        )
        self._sweep = LedgerSweep(
            self._runtime,
            self._journal,
            self._writer,
            dedupe_hours=settings.dedupe_hours,
            history_days=settings.history_days,
            forget=run_index.forget,
            in_memory=lambda owned, run_id: (owned, run_id) in self._manager.live,
            read_ms=lambda owned: 0 if self._bus is None else self._bus.read_ms(owned),
        )
        self._began = clock.monotonic()

    async def serve(self) -> None:
        """Start, work until told to stop, drain and leave the group at once."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        registry = CollectorRegistry()
        worker_metrics.register(registry, self._runtime, self._manager, self._dispatcher, self._timers, self._effects)
        if self._schedules is not None:
            registry.register(ScheduleMetrics(self._schedules))
        host, port = self._settings.worker_host, self._settings.worker_port
        hosts = LOCAL_HOSTS if is_loopback(host) else frozenset[str]()
        guarded = ClusterGuard(self._pages(registry), cluster_secret(self._settings), hosts)
        server = Server(guarded, host, port, self._settings.worker_url)
        url = await server.start(self._runtime.tasks.spawn)
        producer = EventProducer(self._kafka, self._codec, f"/streams/workers/{self._pool}", now_ms=clock.now_ms)
        for figures in (self._limits, self._keys, self._watch, self._handlers):
            registry.register(figures)
        alarms = AlertWriter(producer, self._names.events, self._runtime.tasks.spawn, self._limits.peers)
        self._limits.breakers.on_switch.append(alarms.breaker)
        self._writer.on_letter = alarms.report_dead_letter
        self._stall.on_lag = lambda lags: alarms.looked(lags, self._runtime.gaps)
        self._limits.begin(self._kafka, self._names.workers, url, self._group_members, (self._budgets,))
        heartbeat = self._heartbeat(producer, url)
        self._app.loop = loop
        self._app.finalize()
        quiet_faust()
        await self._app.start()
        self._runtime.tasks.spawn(self._announce(heartbeat, url))
        self._watch.start()
        monitor = LoopMonitor(self._settings, self._kafka.client(), self._names.journal(self._pool), BLOCKED_CODE)
        self._runtime.tasks.spawn(monitor.run())
        for part in (self._stall, self._membership, self._sweep, self._budgets, self._handlers):
            self._runtime.tasks.spawn(part.run())
        self._runtime.tasks.spawn(StandbyPlacement(self._runtime, self._limits.peers).run())
        await stop.wait()
        log.info("worker %s drains", self._holder.worker_id)
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._leave(heartbeat, producer, server)
        except TimeoutError:
            log.warning("worker %s could not drain in time: what is open comes again", self._holder.worker_id)
            end_process(0)
        if self._runtime.at_work:  # half a minute, while the broker is away; its outcome is the successor's to read
            log.warning("worker %s leaves a transaction open", self._holder.worker_id)
            end_process(0)
        end_within(_TEARDOWN_S)

    async def _announce(self, heartbeat: Heartbeat, url: str) -> None:
        """Beat from the moment on when the broker has answered and there is a runtime to tell of."""
        await self._runtime.opened.wait()  # Faust subscribes in a task of its own
        log.info("worker %s serves %d agents at %s", self._holder.worker_id, len(self._agents), url)
        self._runtime.ownership.on_change.append(heartbeat.changed)
        heartbeat.state = "running"
        await heartbeat.run()

    async def _leave(self, heartbeat: Heartbeat, producer: EventProducer, server: Server) -> None:
        self._timers.stop()
        self._watch.stop()
        heartbeat.state = "stopping"
        self._probe("leaving")
        await self._app.stop()
        await self._limits.end()
        if self._model is not None:
            await self._model.aclose()
        await heartbeat.farewell()
        server.stop()
        self._queued.close()
        await producer.close(_FLUSH_S)
        log.info("worker %s has left", self._holder.worker_id)

    # -- parts

    def _build(self) -> App:
        intakes = {
            name: RunIntake(agent, self._manager, self._key_gate, self._journal, self._writer, self._probe)
            for name, agent in self._agents.items()
        }
        self._lanes.take_in_locally = LocalIntake(self._runtime, intakes)
        redrive = DeadLetterRedrive(intakes, self._bus, self._manager, self._writer, self._schedules)
        signals = SignalHandler(
            self._manager,
            self._writer,
            redrive,
            self._pool,
            key_gate=self._key_gate,
            keys=self._keys,
            pauses=self._pauses,
            budgets=self._budgets,
            breakers=self._limits.breakers,
            schedules=self._schedules,
        )
        app = build(
            self._runtime,
            self._names,
            self._pool,
            intakes=intakes,
            signals=signals,
            bus=self._bus,
            folds=self._folds,
        )
        reload_ = RunRecovery(
            self._agents,
            self._journal,
            self._manager,
            self._key_gate,
            self._timers,
            run_index=self._run_index,
            committer=lambda: self._runtime.committer,
        )
        app.on_assignment_ready.append(self._limits.homes.ready)  # before runs go on that need it
        app.on_assignment_ready.append(self._budgets.restored)
        app.on_assignment_ready += [self._keys.restored, self._pauses.restored, self._blocked.restored]
        app.on_assignment_ready.append(reload_)
        if self._bus is not None:
            app.on_assignment_ready.append(self._bus.restored)
            read = reading(self._kafka, self._names.events, self._runtime.gaps)
            app.on_assignment_ready.append(
                CatchUp(self._runtime, self._bus, self._bus.positions, self._writer, read).restored
            )
        if self._schedules is not None:
            app.on_assignment_ready.append(self._schedules.restored)
        app.on_assignment_ready.append(signals.restored)  # behind those who are told
        return app

    def _pages(self, registry: CollectorRegistry) -> Any:
        proof = OwnershipCheck(self._runtime)
        return application(
            RunPages(proof, self._journal, self._queued, self._tokens, self._dispatcher.why),
            RunListPages(proof, self._journal, self._codec),
            TablePages(proof, self._folds, self._names.events, None if self._bus is None else self._bus.positions),
            LimitPages(self._limits),
            SchedulePages(proof, self._schedules),
            AgentPages(proof, self._pauses),
            budgets=BudgetPages(proof, self._budgets),
            approvals=ApprovalPages(proof, self._journal),
            ready=lambda: missing(self._runtime, self._stall, self._membership, self._handlers, self._began),
            registry=registry,
        )

    def _heartbeat(self, producer: EventProducer, url: str) -> Heartbeat:
        return Heartbeat(
            producer,
            self._names.workers,
            self._runtime,
            holder=self._holder,
            slot=self._slot.name,
            url=url,
            running=lambda: len(self._manager.live),
            agents=self._agents,
        )

    def _chat(self) -> ChatModel:
        if self._model is None:
            self._model = chat_model(self._settings)
        return self._model

    async def _group_members(self, pool: str) -> frozenset[str] | None:
        members = await asyncio.to_thread(self._members.of, self._names.topic(f"streams.{pool}"))
        return None if members is None else frozenset(member.client_id for member in members)

    async def _ask_budget(self, pool: str, scope: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._limits.ask_home(pool, scope, body, self._budgets.ask)

    def _ended(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Add to the unit of a run's end what others do with it."""
        self._key_gate.ended(live, unit)
        self._blocked.run_ended(live.run_id, unit)

    def _fire(self, owned: PartitionAssignment, run_id: str, timer: Timer) -> None:
        live = self._manager.find(owned, run_id)
        if live is None:
            return
        if timer.path == NOT_BEFORE:
            self._key_gate.enqueue(owned, live.machine.journal.view)
        else:
            self._manager.send_message(live, TimerFired(timer.path, timer.due_ms))

    def _keep_rejected(self, unit: CommitUnit, error: Exception) -> None:
        """Keep a record whose outcome the broker refuses as a dead letter."""
        if isinstance(unit, RecordBatch):
            dead_letter(unit, self._writer, unit.messages[0], error, taker_of(self._names, unit.source.topic))

    def crash(self, error: Exception) -> None:
        """End the process: nothing that it still holds may reach the log, and the restart reads what counts."""
        # Their messages say what to do; a traceback would hide it.
        known = isinstance(error, (StreamsError, SchemaError, TopicError))
        log.error("worker %s ends: %s", self._holder.worker_id, error, exc_info=None if known else error)
        sys.stderr.flush()
        end_process(3)
