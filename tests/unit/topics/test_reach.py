"""An outage is one line at its begin and one at its end, whatever the clients of the process say meanwhile."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from topics.reach import Reach

DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([100.0, 125.4])
    reach = Reach("a:1", lambda: next(times))
    reach.answered()
    for _ in range(5):
        reach.failed(DOWN)
    reach.failed(KafkaError(KafkaError._TRANSPORT))
    reach.answered()
    reach.answered()
    assert [record.getMessage() for record in caplog.records] == [
        "no broker of a:1 answers: waiting for it, from now on in silence",
        "the broker of a:1 is back after 25 s",
    ]


def test_one_connection_that_fails_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    reach = Reach("a:1", lambda: 0.0)
    reach.failed(KafkaError(KafkaError._TRANSPORT))
    reach.answered()
    assert not caplog.records
