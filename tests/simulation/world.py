"""The simulated machine room: brokers, workers, a gateway and a client, each a process of the one scheduler."""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streams.app import Catalog, discover
from streams.settings import Settings
from tests.apps.simulated.effects import LOG, Effect
from tests.simulation import patches, seams
from tests.simulation.disk import Files
from tests.simulation.http import HttpNetwork
from tests.simulation.kafka_clients import KafkaClients
from tests.simulation.loop import SimLoop
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler, SimProcess
from tests.simulation.scripted import SimModel
from tests.simulation.trace import Trace

SECRET = "a-secret-of-the-simulated-cluster"
GATEWAY = "127.0.0.1:8080"


@dataclass
class Machine:
    """Where a worker runs: its disk and clock outlive the process."""

    slot: str
    folder: Path
    files: Files = field(default_factory=Files)
    process: SimProcess | None = None
    loop: SimLoop | None = None
    worker: Any = None
    starts: int = 0
    wanted: bool = True  # its supervisor starts it again


class World:
    """All of one run."""

    def __init__(self, plan: Plan, *, printed: bool = False) -> None:
        """Replace what is real in this process; nothing runs yet."""
        self.plan = plan
        self.scheduler = scheduler = Scheduler(plan.seed)
        self.chance = random.Random(f"world {plan.seed}")
        self.trace = Trace(scheduler, printed=printed)
        self.http = HttpNetwork(scheduler, random.Random(f"http {plan.seed}"))
        self.folder = Path(tempfile.mkdtemp(prefix="streams-simulation-", dir="/dev/shm"))
        self.catalog: Catalog = discover(("tests.apps.simulated",))
        self.machines = [Machine(str(number), self.folder / f"machine-{number}") for number in range(plan.workers)]
        self.gateway: SimProcess | None = None
        self.gateway_loop: SimLoop | None = None
        self.client: SimProcess | None = None
        self.stages: dict[str, int] = {}
        self.kills = dict(plan.stages)
        self.ends: list[tuple[float, str, int | None]] = []  # processes that ended by themselves
        self.disturbed: list[tuple[float, float, str]] = []  # stretches in which a process was stopped or cut off
        self.faulty = True
        self.exited: list[str] = []
        patches.install(scheduler, plan.seed)
        self.kafka = KafkaClients(scheduler, plan, self.trace)
        seams.install(scheduler, self.http, self._files_of, lambda _settings: SimModel(LOG).roled())
        LOG.clock = lambda: scheduler.now
        LOG.process = lambda: scheduler.process.pid
        LOG.duration = lambda: self.chance.choice((0.001, 0.01, 0.1, 0.5, 2.0))
        self.effects_fail = self.chance.random() < 0.5
        LOG.fails = lambda: self.effects_fail and self.faulty and self.chance.random() < 0.03
        root = logging.getLogger()
        root.handlers[:] = [self.trace]
        root.setLevel(logging.INFO)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def settings(self, machine: Machine | None = None) -> Settings:
        """Return the settings of a process."""
        return Settings(
            kafka_bootstrap_servers=self.kafka.bootstrap,
            partitions=self.plan.partitions,
            replication_factor=1,
            standbys=self.plan.standbys,
            apps=("tests.apps.simulated",),
            cluster_secret=SecretStr(SECRET),
            state_dir=self.folder / "client" if machine is None else machine.folder,
            worker_port=0,
            worker_host="127.0.0.1",
            gateway_host="127.0.0.1",
            _env_file=None,
        )

    # -- processes

    def start_worker(self, machine: Machine) -> None:
        """Start the process of a machine's slot."""
        machine.starts += 1
        process = self.scheduler.new_process(f"worker-{machine.slot}.{machine.starts}")
        machine.process, machine.worker = process, None
        process.locals["machine"] = machine
        process.on_end.append(lambda: self._ended(machine, process))
        self.trace.note("start", process.name)

        def main() -> None:
            from streams import clock
            from streams.limits.holders import Holder
            from streams.runtime import worker_slots
            from streams.worker.main import Worker

            settings = self.settings(machine)
            taken = worker_slots.take(settings.state_dir, "default", machine.slot)
            process.on_end.append(taken.close)
            holder = Holder("default", taken.identity, clock.now_ms())
            loop = machine.loop = SimLoop(self.scheduler)

            async def serve() -> None:
                machine.worker = Worker(settings, self.catalog, taken, holder, self._probe)
                await machine.worker.serve()

            loop.run_until_complete(serve())

        self._run(process, main)

    def start_gateway(self) -> None:
        """Start the gateway."""
        process = self.gateway = self.scheduler.new_process("gateway")
        process.on_end.append(lambda: self._gateway_ended(process))
        self.trace.note("start", process.name)

        def main() -> None:
            import asyncio

            from streams.gateway.serve import application

            loop = self.gateway_loop = SimLoop(self.scheduler)
            stop = asyncio.Event()
            loop.add_signal_handler(15, stop.set)

            async def serve() -> None:
                app = application(self.settings())
                async with app.router.lifespan_context(app):
                    self.http.serve(process, loop, app, GATEWAY)
                    await stop.wait()
                    app.state.streams.close()
                    self.http.stop(process)

            loop.run_until_complete(serve())

        self._run(process, main)

    def start_client(self, main: Callable[[], None]) -> None:
        """Start the process that asks for everything and says when the run is over."""
        self.client = process = self.scheduler.new_process("client")
        process.on_end.append(self.scheduler.stop)
        self._run(process, main)

    def _run(self, process: SimProcess, main: Callable[[], None]) -> None:
        def body() -> None:
            try:
                main()
                process.status = 0
            except BaseException as error:  # what a process does with it
                if type(error).__name__ == "GreenletExit":
                    raise
                process.status = 1
                self.trace.note("failed", f"{process.name}: {error!r}")
                self.exited.append(f"{self.scheduler.now:.3f} {process.name}: {error!r}")
            self.scheduler.kill(process)

        self.scheduler.spawn(process, "main", body)

    def _ended(self, machine: Machine, process: SimProcess) -> None:
        for number, effect in list(LOG.active.items()):
            if effect.process == process.pid:
                LOG.end(number)
        self.kafka.process_ended(process)
        for database in machine.files.databases.values():
            database.open = False
        self.ends.append((self.scheduler.now, process.name, process.status))
        self.trace.note("end", f"{process.name} status {process.status}")
        if machine.process is process:
            machine.process = machine.worker = None
            if machine.wanted:
                self.scheduler.after(self.chance.uniform(0.5, 1.5), lambda: self._again(machine))

    def _again(self, machine: Machine) -> None:
        if machine.wanted and machine.process is None:
            self.start_worker(machine)

    def _gateway_ended(self, process: SimProcess) -> None:
        self.kafka.process_ended(process)
        self.ends.append((self.scheduler.now, process.name, process.status))
        self.trace.note("end", f"{process.name} status {process.status}")
        if self.gateway is process:
            self.gateway = None
            self.scheduler.after(self.chance.uniform(0.5, 1.5), self._gateway_again)

    def _gateway_again(self) -> None:
        if self.gateway is None:
            self.start_gateway()

    def _files_of(self, process: SimProcess) -> Files:
        machine: Machine = process.locals["machine"]
        return machine.files

    def _probe(self, stage: str) -> None:
        """Take note of a stage of a worker's work; the plan may let the process die there."""
        self.stages[stage] = count = self.stages.get(stage, 0) + 1
        process = self.scheduler.process
        if self.faulty and self.kills.get(stage) == count:
            self.trace.note("kill", f"{process.name} at stage {stage!r} number {count}")
            self.scheduler.kill(process)

    @property
    def active(self) -> list[Effect]:
        """Return the effects under way in live processes."""
        return list(LOG.active.values())
