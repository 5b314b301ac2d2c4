"""Every answer of a gateway in this folder, and every run of a harness, is compared with the HTTP contract."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from streams.engine.view import fold, history
from streams.testing import Harness
from tests.flow.contract import CheckedTransport, contract
from tests.unit.gateway import _gateway

RUNS = 100
"""How many runs of one harness are compared: those of a test with thousands are all alike."""


@pytest.fixture(autouse=True)
def _checked_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = _gateway.connect

    def checked(app: Any) -> httpx.AsyncBaseTransport:
        return CheckedTransport(connect(app))

    monkeypatch.setattr(_gateway, "connect", checked)


@pytest.fixture(autouse=True)
def _checked_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: list[Harness] = []
    begin = Harness.__init__

    def noted(self: Harness, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(Harness, "__init__", noted)
    yield
    for harness in made:
        for run_id in islice(harness.run_ids, RUNS):
            entries = harness.entries(run_id)
            contract().check_model("RunState", fold(entries).to_json())
            contract().check_model("RunHistory", {"entries": history(entries)})
