"""The simulated Kafka as the processes of a run see it: each has clients of its own, on its own time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import confluent_kafka
import confluent_kafka.admin
from confluent_kafka import KafkaError

from tests.simulation.kafka.cluster import Cluster, ClusterSettings
from tests.simulation.kafka.network import Call, Network, Verdict
from tests.simulation.kafka.processes import Process
from tests.simulation.patches import replace_everywhere
from tests.simulation.plan import Plan
from tests.simulation.scheduler import _EPOCH_NS, NS, Scheduler, SimProcess
from tests.simulation.trace import Trace

_NEAR_COMMITS = frozenset({"TxnOffsetCommit", "AddOffsetsToTxn", "AddPartitionsToTxn", "EndTxn", "InitProducerId"})
_REFUSALS = {
    "EndTxn": (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.CONCURRENT_TRANSACTIONS),
    "TxnOffsetCommit": (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
    "AddOffsetsToTxn": (KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.NOT_COORDINATOR),
    "Produce": (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.NOT_ENOUGH_REPLICAS),
    "OffsetFetch": (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
}


def _not_before(seconds: float) -> int:
    """Return nanoseconds that are not before a time: who waits for it may look whether it has come, and wait again."""
    return ceil(seconds * NS) + 1


class ProcessTime:
    """Time for the clients of one process: what they schedule waits while it is stopped, and ends with it."""

    def __init__(self, scheduler: Scheduler, process: SimProcess | None) -> None:
        self._scheduler = scheduler
        self._process = process

    def now(self) -> float:
        return self._scheduler.now

    def wait(self, until: float | None, is_ready: Callable[[], bool]) -> bool:
        scheduler = self._scheduler
        scheduler.pass_on()
        if is_ready():
            return True
        return scheduler.wait_for(is_ready, None if until is None else _not_before(until))

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        scheduler = self._scheduler
        scheduler.at(max(_not_before(at), scheduler.now_ns), action, self._process)


@dataclass
class Trouble:
    """A stretch of time in which calls get lost or refused."""

    until: float
    share: float
    kind: str  # request, response, refuse, slow
    near_commits: bool


class Judge:
    """Decides what becomes of each call to a broker."""

    def __init__(self, scheduler: Scheduler, seed: int, trace: Trace) -> None:
        self._scheduler = scheduler
        self._chance = random.Random(f"calls {seed}")
        self._trace = trace
        self.troubles: list[Trouble] = []

    def judge(self, call: Call) -> Verdict:
        chance = self._chance
        request_s, response_s = chance.uniform(0.0002, 0.0015), chance.uniform(0.0002, 0.0015)
        for trouble in self.troubles:
            if self._scheduler.now > trouble.until or chance.random() >= trouble.share:
                continue
            if trouble.near_commits and call.name not in _NEAR_COMMITS:
                continue
            if trouble.kind == "slow":
                return Verdict(request_s + chance.uniform(0, 2), response_s + chance.uniform(0, 2))
            if trouble.kind == "refuse":
                codes = _REFUSALS.get(call.name)
                if codes:
                    self._trace.note("refuse", f"{call.name} of {call.process}")
                    return Verdict(request_s, response_s, None, chance.choice(codes))
                continue
            self._trace.note(f"lose {trouble.kind}", f"{call.name} of {call.process}")
            return Verdict(request_s, response_s, trouble.kind)  # type: ignore[arg-type]
        return Verdict(request_s, response_s)


def _called(_client: Held, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Call a method of a client that lives until it returns."""
    return method(*arguments, **more)


class Held:
    """A client that ends with its last reference, as the library's do."""

    __slots__ = ("_client",)

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return partial(_called, self, found) if callable(found) else found

    def __len__(self) -> int:
        return len(self._client)

    def __bool__(self) -> bool:
        return True

    def __del__(self) -> None:
        self._client._shut()


class KafkaClients:
    """The cluster of a run, and the classes that stand in for the client library's."""

    def __init__(self, scheduler: Scheduler, plan: Plan, trace: Trace) -> None:
        self._scheduler = scheduler
        self._seed = plan.seed
        self.judge = Judge(scheduler, plan.seed, trace)
        self.network = Network(self.judge)
        self.time = ProcessTime(scheduler, None)
        self.cluster = Cluster(
            self.time,
            random.Random(f"cluster {plan.seed}"),
            self.network,
            ClusterSettings(brokers=plan.brokers),
            wall=lambda: 1_767_225_600.0 + scheduler.now,
        )
        self.bootstrap = self.cluster.bootstrap
        replace_everywhere(
            [
                (confluent_kafka.Consumer, lambda *given, **more: self._of_process().consumer(*given, **more)),
                (confluent_kafka.Producer, lambda *given, **more: Held(self._of_process().producer(*given, **more))),
                (
                    confluent_kafka.admin.AdminClient,
                    lambda *given, **more: Held(self._of_process().admin(*given, **more)),
                ),
            ]
        )

    def process_ended(self, process: SimProcess) -> None:
        """Close the connections of a process that is gone."""
        if (clients := process.locals.get("kafka")) is not None:
            clients.kill()

    def cut(self, process: SimProcess, broker: int, *directions: Any) -> None:
        """Cut a process off from a broker."""
        self.network.cut(process.name, broker, *directions)

    def mend(self, process: SimProcess, broker: int) -> None:
        """Connect it again."""
        self.network.mend(process.name, broker)

    def _of_process(self) -> Process:
        scheduler = self._scheduler
        process = scheduler.process
        if "kafka" not in process.locals:
            process.locals["kafka"] = Process(
                self.cluster,
                process.name,
                random.Random(f"clients of {process.name} {self._seed}"),
                ProcessTime(scheduler, process),
                lambda: (_EPOCH_NS + scheduler.now_ns + process.wall_ns) / NS,
            )
        clients: Process = process.locals["kafka"]
        return clients
