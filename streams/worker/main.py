"""A worker process: assembled from settings, run until SIGTERM, drained, gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from schemas.agent import AgentCommanded, AgentSwitched
from schemas.breaker import BreakerSwitched
from schemas.consumer import ConsumersDeclared
from schemas.errors import SchemaError
from schemas.key import KeyReleased, KeyWanted
from schemas.usage import BudgetChanged, BudgetSpent
from streams import clock, telemetry
from streams.app import Catalog, discover
from streams.errors import StreamsError
from streams.journal.blocked_code import BlockedCode
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
from streams.limits.peers import Peers
from streams.model.lazy_model import LazyModel
from streams.query.cluster import check_worker, cluster_secret, secured
from streams.query.codec import codec_of
from streams.query.wire import Wire
from streams.runtime import process_memory, worker_slots
from streams.runtime.faust.app import end_process, end_within, quiet_faust
from streams.runtime.group_members import GroupMembers
from streams.runtime.loop_monitor import LoopMonitor
from streams.runtime.membership import MembershipWatch
from streams.runtime.queue_lookup import QueueLookup
from streams.runtime.runtime import Runtime, RuntimeSettings, no_probe
from streams.runtime.standby_placement import StandbyPlacement
from streams.runtime.store_index import StoreSpec
from streams.runtime.watchdog import LoopLagWatch, StallWatch
from streams.serving.hosts import LOCAL_HOSTS, is_loopback
from streams.tables.runs import runs
from streams.tools._threads import SHARED
from streams.tracing import exporter
from streams.user_code import user_code_exit
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
from streams.worker.runs.effects import EffectRunner
from streams.worker.runs.intake import RunIntake
from streams.worker.runs.ledger_sweep import LedgerSweep
from streams.worker.runs.local_intake import LocalIntake
from streams.worker.runs.model_caller import ModelCaller
from streams.worker.runs.queue_pauses import QueuePauses
from streams.worker.runs.redrive import DeadLetterRedrive
from streams.worker.runs.run_index import RunIndex
from streams.worker.runs.run_recovery import RunRecovery
from streams.worker.runs.signals import SignalHandler
from streams.worker.runs.token_buffer import TokenBuffer
from streams.worker.runs.worker_runs import WorkerRuns
from streams.worker.schedules.schedule_metrics import ScheduleMetrics
from streams.worker.schedules.schedule_runner import ScheduleDependencies
from streams.worker.schedules.schedules import OwnedSchedules
from streams.worker.worker_host import Restored, WorkerHost
from streams.worker.worker_metrics import WorkerMetrics
from topics.errors import TopicError
from topics.names import Names
from topics.producer import EventProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

    from schemas.event import Event
    from streams.runtime.batch import RecordBatch
    from streams.settings import Settings

log = logging.getLogger(__name__)

_LEAVE_S: Final = 20.0  # for draining and leaving; a broker that is away must not hold a worker that is to stop
_LEASE_S: Final = 3.0  # longer than any call may take
_FLUSH_S: Final = 1.0  # all that may still be under way is a heartbeat
_TEARDOWN_S: Final = 2.0  # for what is left when all is drained: threads that still wait for an answer of the broker


def run(settings: Settings, pool: str, slot: str | None, probe: Callable[[str], None] = no_probe) -> None:
    """Run one worker of `pool` in `slot` until SIGTERM or SIGINT; ends the process with status 3 on a fatal error.

    `probe` is called at each stage of work, so that fault tests can end the process there.
    """
    check_worker(settings)
    settings = secured(settings)
    telemetry.configure(settings)
    process_memory.settle()
    taken = worker_slots.take(settings.state_dir, pool, slot)
    holder = Holder(pool, taken.identity, clock.now_ms())
    try:
        with asyncio.Runner() as runner:
            try:
                runner.run(_serve(settings, discover(settings.apps), taken, holder, probe))
            except Exception:
                raise
            except BaseException as error:  # noqa: BLE001
                # The event loop is dead, and with it all that could leave the group: the process must not live on.
                crash(holder, user_code_exit(error))
    finally:
        taken.close()


def crash(holder: Holder, error: Exception) -> None:
    """End the process: nothing that it still holds may reach the log, and the restart reads what counts."""
    # Their messages say what to do; a traceback would hide it.
    known = isinstance(error, (StreamsError, SchemaError, TopicError))
    log.error("worker %s ends: %s", holder.worker_id, error, exc_info=None if known else error)
    sys.stderr.flush()
    end_process(3)


async def _serve(
    settings: Settings, catalog: Catalog, slot: worker_slots.WorkerSlot, holder: Holder, probe: Callable[[str], None]
) -> None:
    await Worker(settings, catalog, slot, holder, probe).serve()


class Worker:
    """The parts of a worker, each made by its constructor from those above it, and its life."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        slot: worker_slots.WorkerSlot,
        holder: Holder,
        probe: Callable[[str], None],
    ) -> None:
        """Assemble, in the running event loop, for the agents and tables of the pool; `probe` gets each stage."""
        self._settings, self._holder, self._probe = settings, holder, probe
        self._began, self._export = clock.monotonic(), exporter(settings.otlp_endpoint, "worker", str(holder))
        self._kafka = kafka = settings.kafka()
        self._names = names = Names(settings.topic_prefix)
        self._agents = agents = {name: one for name, one in catalog.agents.items() if one.pool == holder.pool}
        pool, default = holder.pool, holder.pool == "default"  # the default pool has the reactions and the schedules
        client, group = kafka.client() | {"log_level": 2}, names.topic(f"streams.{holder.pool}")
        end = partial(crash, holder)

        # tables, and the runtime with their stores
        self._codec = codec = codec_of(settings, catalog)
        self._journal = journal = JournalStore(codec)
        index = RunIndex(codec, agents)
        tables = [table for table in catalog.tables.values() if table.of_runs or table.pool == pool]
        self._folds = folds = TableFolds(tables, names, codec, pool, {runs.name: index.index})
        self._runtime = runtime = Runtime(
            RuntimeSettings(
                client=client,
                group=group,
                slot=slot.identity,
                client_id=str(holder),
                folder=slot.folder / "stores",
                ledger=StoreSpec(LEDGER, names.journal(pool), by_time(codec)),
                subscription=names.signals,
                stores=folds.specs,
                standbys=settings.standbys,
                slow=frozenset(names.agents(name) for name in agents),
                probe=probe,
            ),
            crash=end,
        )
        tasks, committer = runtime.tasks, runtime.committer

        # other workers, alerts, records and limits
        self._peers = peers = Peers(runtime, holder, codec, Wire(cluster_secret(settings)))
        self._producer = EventProducer(kafka, codec, f"/streams/workers/{pool}", now_ms=clock.now_ms)
        self._alerts = alerts = AlertWriter(self._producer, names.events, tasks.spawn, peers, runtime.gaps)
        writer = RecordWriter(names, codec, catalog.events, pool, alerts.report_dead_letter)
        self._limits = limits = WorkerLimits(runtime, peers, catalog.tools.values(), alerts.breaker)
        self._budgets = budgets = BudgetHomes(runtime, peers, writer, pool, days=settings.history_days)
        self._keys = KeyHomes(agents, writer, committer, pool)

        # runs
        budget_client = BudgetClient(
            settings.budgets,
            partial(limits.ask_home, here=budgets.ask),
            tasks.spawn,
            lease=settings.llm_total_timeout + _LEASE_S,
            agents=catalog.agents,
        )
        self._model = LazyModel(settings)
        self._tokens = TokenBuffer()
        self._effects = EffectRunner(
            tasks,
            ModelCaller(self._model, budget_client, self._tokens, limits.shared_calls),
            limits.guard,
            budget_client,
            probe,
            runtime.progressed,
        )
        blocked = BlockedCode()
        self._runs = WorkerRuns(
            agents,
            runtime,
            journal,
            writer,
            named=catalog.agents,
            effects=self._effects,
            admission=AgentAdmission(limits.rate_limits, limits.semaphores),
            index=index,
            blocked=blocked,
            export=self._export,
        )
        manager, key_gate = self._runs.manager, self._runs.key_gate
        self._pauses = QueuePauses(agents, self._runs.dispatcher, writer, pool, runtime)
        self._queued = QueueLookup(client, group, list(map(names.agents, agents)), tasks)
        intakes = {name: RunIntake(one, manager, key_gate, journal, writer, probe) for name, one in agents.items()}

        # the bus and schedules
        lanes = ReactionLanes(
            tasks,
            writer,
            committer,
            FloodGuard(settings.flood_threshold),
            blocked=blocked,
            take_in_locally=LocalIntake(runtime, intakes),
            export=self._export,
        )
        bus = EventBus(catalog if default else replace(catalog, reactions={}), folds, lanes, writer)
        self._bus = bus if default or folds.events else None
        parts = ScheduleDependencies(tasks, writer, committer)
        self._schedules = OwnedSchedules(catalog.schedules, runtime, parts, kafka) if default else None

        # what comes in
        signals = SignalHandler(
            manager,
            writer,
            DeadLetterRedrive(intakes, self._bus, manager, writer, self._schedules),
            pool,
            key_gate=key_gate,
            handlers={
                KeyWanted: self._keys.take,
                KeyReleased: self._keys.take,
                BudgetSpent: budgets.take,
                BudgetChanged: budgets.take,
                BreakerSwitched: limits.breakers.take,
                AgentCommanded: self._pauses.take,
                AgentSwitched: self._pauses.take,
                ConsumersDeclared: _ignored if self._bus is None else bus.positions.take,
            },
            schedules=self._schedules,
        )
        recovery = RunRecovery(
            agents,
            journal,
            manager,
            key_gate,
            self._runs.timers,
            run_index=index,
            committer=committer,
            metrics=self._runs.metrics,
        )
        catch_up = CatchUp(runtime, bus, bus.positions, writer, reading(kafka, names.events, runtime.gaps))
        restored: list[Restored] = [
            limits.homes.ready,  # first, for runs that go on need it
            budgets.restored,
            self._keys.restored,
            self._pauses.restored,
            blocked.restored,
            recovery,
            *(() if self._bus is None else (bus.restored, catch_up.restored)),
            *(() if self._schedules is None else (self._schedules.restored,)),
            signals.restored,  # last, behind the parts that its records are for
        ]
        self._heartbeat = Heartbeat(
            self._producer,
            names.workers,
            runtime,
            holder=holder,
            slot=slot.name,
            runs=manager.live,
            agents=agents,
        )
        host = WorkerHost(restored, heartbeat=self._heartbeat, effects=self._effects, index=index, writer=writer)
        self._app = build(runtime, names, pool, intakes=intakes, signals=signals, bus=self._bus, folds=folds, host=host)

        # watchdogs and sweeps
        self._watch = LoopLagWatch()
        self._stall = StallWatch(runtime, end, alerts.looked)
        self._membership = MembershipWatch(runtime, end)
        self._handlers = HandlerThreads(SHARED, settings.threads_held_after, end)
        self._sweep = LedgerSweep(
            runtime,
            journal,
            writer,
            dedupe_hours=settings.dedupe_hours,
            history_days=settings.history_days,
            forget=index.forget,
            in_memory=manager.is_live,
            read_ms=None if self._bus is None else bus.read_ms,
        )

    async def serve(self) -> None:
        """Start, work until SIGTERM or SIGINT, drain and leave the group at once."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        spawn = self._runtime.tasks.spawn
        host, port = self._settings.worker_host, self._settings.worker_port
        hosts = LOCAL_HOSTS if is_loopback(host) else frozenset[str]()
        guarded = ClusterGuard(self._pages(), cluster_secret(self._settings), hosts)
        server = Server(guarded, host, port, self._settings.worker_url)
        url = await server.start(spawn)
        members = partial(_client_ids, GroupMembers(self._kafka.client()), self._names)
        self._limits.begin(self._kafka, self._names.workers, url, members, (self._budgets,))
        self._app.finalize()
        quiet_faust()
        await self._app.start()
        spawn(self._announce(url))
        self._watch.start()
        journal = self._names.journal(self._holder.pool)
        monitor = LoopMonitor(self._settings, self._kafka.client(), journal, BLOCKED_CODE)
        placement = StandbyPlacement(self._runtime, self._peers)
        for part in (monitor, self._stall, self._membership, self._sweep, self._budgets, self._handlers, placement):
            spawn(part.run())
        await stop.wait()
        log.info("worker %s drains", self._holder.worker_id)
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._leave(server)
        except TimeoutError:
            log.warning("worker %s could not drain in time: what is open comes again", self._holder.worker_id)
            end_process(0)
        if self._runtime.at_work:  # half a minute, while the broker is away; its outcome is the successor's to read
            log.warning("worker %s leaves a transaction open", self._holder.worker_id)
            end_process(0)
        end_within(_TEARDOWN_S)

    async def _announce(self, url: str) -> None:
        """Send heartbeats from the moment on when the broker has answered."""
        await self._runtime.opened.wait()  # Faust subscribes in a task of its own
        log.info("worker %s serves %d agents at %s", self._holder.worker_id, len(self._agents), url)
        await self._heartbeat.run(url)

    async def _leave(self, server: Server) -> None:
        self._runs.timers.stop()
        self._watch.stop()
        self._heartbeat.leaving()
        self._probe("leaving")
        await self._app.stop()
        await self._limits.end()
        await self._model.aclose()
        await self._heartbeat.farewell()
        server.stop()
        self._queued.close()
        await self._producer.close(_FLUSH_S)
        if self._export is not None:
            await asyncio.to_thread(self._export.close)
        log.info("worker %s has left", self._holder.worker_id)

    def _pages(self) -> Starlette:
        """Return the application behind the worker's port."""
        proof = OwnershipCheck(self._runtime)
        registry = CollectorRegistry()
        runs = self._runs
        registry.register(
            WorkerMetrics(
                self._runtime,
                runs.manager,
                runs.dispatcher,
                runs.timers,
                self._effects,
                lags=self._stall,
                dead_letters=self._alerts.dead_letters,
                budgets=self._budgets,
            )
        )
        for figures in (runs.metrics, self._limits, self._keys, self._watch, self._handlers):
            registry.register(figures)
        if self._schedules is not None:
            registry.register(ScheduleMetrics(self._schedules))
        return application(
            RunPages(proof, self._journal, self._queued, self._tokens, runs.dispatcher.why),
            RunListPages(proof, self._journal, self._codec),
            TablePages(proof, self._folds, self._names.events, None if self._bus is None else self._bus.positions),
            LimitPages(self._limits),
            SchedulePages(proof, self._schedules),
            AgentPages(proof, self._pauses),
            budgets=BudgetPages(proof, self._budgets),
            approvals=ApprovalPages(proof, self._journal),
            ready=partial(missing, self._runtime, self._stall, self._membership, self._handlers, self._began),
            registry=registry,
        )


async def _client_ids(members: GroupMembers, names: Names, pool: str) -> frozenset[str] | None:
    """Return the client ids of the members of a pool's consumer group, None while nobody knows them."""
    found = await asyncio.to_thread(members.of, names.topic(f"streams.{pool}"))
    return None if found is None else frozenset(member.client_id for member in found)


def _ignored(_batch: RecordBatch, _event: Event) -> None:
    """Take what is for parts that this worker's code does not have."""
