"""What tests share: a broker for the session, names of their own on it, a marker for each kind, how chance is drawn."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOMS = ("unit", "contract", "flow", "kafka", "faults", "house")
NEEDS_BROKER = "kafka"
HERE = Path(__file__).parent

# A property is drawn alike in every run, and no example has a time limit: that the machine is busy, says nothing of the
# code. `--hypothesis-profile=explore` draws anew each time.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", _UNHURRIED)
settings.register_profile("suite", _UNHURRIED, derandomize=True, database=None, print_blob=True)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the room that it lies in, and with `kafka` whatever uses the broker."""
    for item in items:
        room = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if room in ROOMS:
            item.add_marker(room)
        if NEEDS_BROKER in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Return a running broker, one for all tests of the session; tests that stop or kill brokers start their own."""
    with EmbeddedKafka(tmp_path_factory.mktemp("broker"), cache_home()) as broker:
        yield broker


@pytest.fixture
def bootstrap(kafka: EmbeddedKafka) -> str:
    """Return the address of the session's broker."""
    return kafka.bootstrap


@pytest.fixture
def prefix() -> str:
    """Return a topic prefix that no other test has, so that tests share a broker and nothing else."""
    return f"t{uuid.uuid4().hex[:10]}"
