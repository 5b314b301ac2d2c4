"""Random short programs that run on the real and on the simulated Kafka, and leave the same log behind."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.kafka_semantics._world import (
    ANSWER_S,
    RealWorld,
    SimulatedWorld,
    World,
    make_topic,
    reader,
    transactional,
)
from tests.contract.kafka_semantics.test_transacting import eventually

PARTITIONS = 2
WRITERS = 2

writers = st.integers(0, WRITERS - 1)
steps = st.one_of(
    st.tuples(st.just("begin"), writers),
    st.tuples(st.just("produce"), writers, st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("flush"), writers),
    st.tuples(st.just("offsets"), writers, st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("commit"), writers),
    st.tuples(st.just("abort"), writers),
    st.tuples(st.just("restart"), writers),
    st.tuples(st.just("plain"), st.integers(0, PARTITIONS - 1)),
)
programs = st.lists(steps, min_size=4, max_size=14)


class ProgramRun:
    """One run of a program in a world."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.topic = make_topic(world, name, PARTITIONS)
        self.producers = [transactional(world, f"{name}.{number}") for number in range(WRITERS)]
        self.plain = world.producer(enable_idempotence=True, linger_ms=0)
        self.handle = reader(world, name)
        self.handle.committed([TopicPartition(self.topic, 0)], ANSWER_S)
        self.count = 0

    def step(self, step: tuple[Any, ...]) -> str:
        """Make a step; return how it ended."""
        try:
            self._make(*step)
        except KafkaException as error:
            reason = error.args[0]
            kind = "fatal" if reason.fatal() else "abort" if reason.txn_requires_abort() else "plain"
            return f"{reason.name()} {kind}"
        return "done"

    def _make(self, what: str, which: int, *more: int) -> None:
        self.count += 1
        value = str(self.count).encode()
        producer = self.producers[which]
        if what == "begin":
            producer.begin_transaction()
        elif what == "produce":
            producer.produce(self.topic, value, b"k", more[0])
            producer.flush(ANSWER_S)  # so that the order of all records is the program's
        elif what == "flush":
            producer.flush(ANSWER_S)
        elif what == "offsets":
            places = [TopicPartition(self.topic, more[0], more[1])]
            producer.send_offsets_to_transaction(places, self.handle.consumer_group_metadata(), ANSWER_S)
        elif what in ("commit", "abort"):
            getattr(producer, f"{what}_transaction")(ANSWER_S)
        elif what == "restart":
            self.producers[which] = transactional(self.world, f"{self.name}.{which}")
        elif what == "plain":
            self.plain.produce(self.topic, value, b"k", which)
            self.plain.flush(ANSWER_S)

    def outcome(self) -> dict[str, Any]:
        """Return what the program has left, once all transactions are ended by successors."""
        for number in range(WRITERS):
            transactional(self.world, f"{self.name}.{number}")
        logs = [eventually(self.world, self.topic, number) for number in range(PARTITIONS)]
        places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        offsets = [one.offset for one in self.handle.committed(places, ANSWER_S)]
        return {"records": [[value for _, value in log] for log, _ in logs], "offsets": offsets}


def run(world: World, name: str, program: list[tuple[Any, ...]]) -> tuple[list[str], dict[str, Any]]:
    """Run a program; return how each step ended, and what is left."""
    made = ProgramRun(world, name)
    return [made.step(step) for step in program], made.outcome()


@pytest.mark.kafka
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(program=programs)
def test_a_program_ends_alike_on_both(bootstrap: str, program: list[tuple[Any, ...]]) -> None:
    name = f"p{uuid.uuid4().hex[:10]}"
    simulated, real = SimulatedWorld(1), RealWorld(bootstrap)
    try:
        assert run(simulated, name, program) == run(real, name, program)
    finally:
        simulated.close()
        real.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs, seed=st.integers(0, 1000))
def test_a_program_leaves_the_same_whatever_the_latencies(program: list[tuple[Any, ...]], seed: int) -> None:
    first, second = SimulatedWorld(0), SimulatedWorld(seed)
    assert run(first, "p", program) == run(second, "p", program)
