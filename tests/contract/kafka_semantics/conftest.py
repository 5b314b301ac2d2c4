"""Runs each test of this folder on the simulated Kafka and on a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.kafka_semantics._world import RealWorld, SimulatedWorld, World


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return a world of clients."""
    made: World
    made = SimulatedWorld(1) if request.param == "simulated" else RealWorld(request.getfixturevalue("bootstrap"))
    try:
        yield made
    finally:
        made.close()
