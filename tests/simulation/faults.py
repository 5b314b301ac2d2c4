"""Carries out the faults of a plan at their times."""

from __future__ import annotations

from functools import partial

from tests.simulation.kafka_clients import Trouble
from tests.simulation.plan import Fault
from tests.simulation.scheduler import NS, SimProcess
from tests.simulation.world import Machine, World


class Injector:
    """The faults of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._scheduler = world.scheduler
        self.ends_at = 0.0

    def begin(self) -> None:
        """Schedule all of them."""
        for fault in self._world.plan.faults:
            self._scheduler.at(round(fault.at * NS), lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        world = self._world
        world.trace.note("fault", str(fault))
        world.trace.counts[f"fault {fault.kind}"] += 1
        machine = world.machines[fault.target % len(world.machines)]
        getattr(self, "_" + fault.kind.replace(" ", "_"))(fault, machine)

    def _later(self, seconds: float, action: object) -> None:
        self._scheduler.after(seconds, action)  # type: ignore[arg-type]

    # -- processes

    def _kill_worker(self, _fault: Fault, machine: Machine) -> None:
        if machine.process is not None:
            self._scheduler.kill(machine.process)

    def _stop_worker(self, fault: Fault, machine: Machine) -> None:
        if machine.process is not None and machine.loop is not None:
            machine.loop.terminate()
            if fault.extra < 0.4:  # and it does not come back for a while
                machine.wanted = False
                self._later(fault.seconds + 3, lambda: self._want(machine))

    def _want(self, machine: Machine) -> None:
        machine.wanted = True
        if machine.process is None:
            self._world.start_worker(machine)

    def _freeze_worker(self, fault: Fault, machine: Machine) -> None:
        process = machine.process
        if process is not None:
            self._freeze(process, fault.seconds)

    def _freeze(self, process: SimProcess, seconds: float) -> None:
        if process.frozen:
            return
        self._disturb(process, seconds)
        self._scheduler.freeze(process)
        self._later(seconds, lambda: self._scheduler.thaw(process))

    def _disturb(self, process: SimProcess, seconds: float) -> None:
        now = self._scheduler.now
        self._world.disturbed.append((now, now + seconds, process.name))

    def _lose_disk(self, _fault: Fault, machine: Machine) -> None:
        if machine.process is not None:
            self._scheduler.kill(machine.process)
        machine.files.wipe()

    def _tear_disk(self, fault: Fault, machine: Machine) -> None:
        """End a machine by a loss of power: the last writes were not on the disk, or a block is damaged."""
        if machine.process is not None:
            self._scheduler.kill(machine.process)
        for database in machine.files.databases.values():
            if fault.extra < 0.7:
                database.tear(1 + int(fault.extra * 20))
            else:
                database.corrupt = True

    def _kill_gateway(self, _fault: Fault, _machine: Machine) -> None:
        if self._world.gateway is not None:
            self._scheduler.kill(self._world.gateway)

    # -- brokers

    def _broker(self, fault: Fault) -> int:
        return 1 + fault.target % self._world.plan.brokers

    def _pause_broker(self, fault: Fault, _machine: Machine) -> None:
        cluster, number = self._world.kafka.cluster, self._broker(fault)
        if cluster.brokers[number].state == "up":
            cluster.pause(number)
            self._later(
                fault.seconds, lambda: cluster.resume(number) if cluster.brokers[number].state == "paused" else None
            )

    def _restart_broker(self, fault: Fault, _machine: Machine) -> None:
        cluster, number = self._world.kafka.cluster, self._broker(fault)
        if cluster.brokers[number].state == "up":
            (cluster.kill if fault.extra < 0.5 else cluster.stop)(number)
            self._later(
                fault.seconds, lambda: cluster.start(number) if cluster.brokers[number].state == "down" else None
            )

    def _break_connections(self, fault: Fault, _machine: Machine) -> None:
        self._world.kafka.cluster.break_connections(self._broker(fault))

    def _cut_broker(self, fault: Fault, machine: Machine) -> None:
        process = machine.process
        if process is None:
            return
        self._disturb(process, fault.seconds)
        kafka, ways = self._world.kafka, (("requests",), ("responses",), ())[int(fault.extra * 3)]
        for number in kafka.cluster.brokers:
            kafka.cut(process, number, *ways)
            self._later(fault.seconds, partial(kafka.mend, process, number))

    def _lose_calls(self, fault: Fault, _machine: Machine) -> None:
        kind = ("request", "response", "slow")[int(fault.extra * 3)]
        until = self._scheduler.now + fault.seconds
        self._world.kafka.judge.troubles.append(
            Trouble(until, 0.3 if kind == "slow" else 0.1, kind, fault.target % 2 == 0)
        )

    def _refuse_calls(self, fault: Fault, _machine: Machine) -> None:
        until = self._scheduler.now + fault.seconds
        self._world.kafka.judge.troubles.append(Trouble(until, 0.2, "refuse", fault.target % 2 == 0))

    # -- HTTP

    def _cut_http(self, fault: Fault, machine: Machine) -> None:
        if machine.process is None:
            return
        others = [one.process.name for one in self._world.machines if one.process is not None and one is not machine]
        names = [*others, "gateway"]
        other = names[int(fault.extra * len(names))]
        pair = (machine.process.name, other) if fault.target % 2 else (other, machine.process.name)
        self._world.http.cut.add(pair)
        self._later(fault.seconds, lambda: self._world.http.cut.discard(pair))

    def _lose_http(self, fault: Fault, _machine: Machine) -> None:
        self._world.http.loss = 0.2
        self._later(fault.seconds, lambda: setattr(self._world.http, "loss", 0.0))

    def _slow_http(self, fault: Fault, _machine: Machine) -> None:
        self._world.http.slow_s = 2.0 * fault.extra
        self._later(fault.seconds, lambda: setattr(self._world.http, "slow_s", 0.0))

    # -- clocks

    def _step_clock(self, fault: Fault, machine: Machine) -> None:
        """Set the wall clock of a process, and set it right again later."""
        process = machine.process
        if process is None:
            return
        step = round((fault.extra - 0.5) * 40 * NS)
        process.wall_ns += step
        self._later(fault.seconds, lambda: setattr(process, "wall_ns", process.wall_ns - step))

    def _suspend_machine(self, fault: Fault, machine: Machine) -> None:
        """Let a machine sleep: its monotonic clock stands still."""
        process = machine.process
        if process is not None and not process.frozen:
            asleep_ns = process.asleep_ns + round(fault.seconds * NS)
            self._later(fault.seconds, lambda: setattr(process, "asleep_ns", asleep_ns))  # before it goes on
            self._freeze(process, fault.seconds)
